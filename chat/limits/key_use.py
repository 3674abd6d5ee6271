"""How often each API key is used per day: Redis counts in the round trip of the limits, beat stores the counts.

A request costs no write of its own. What Redis has counted is stored every minute; a crash between the two steps of
that counts one minute twice, and while Redis is down nothing is counted.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from chat.models import ApiKey, KeyUse
from common.locks import lock_in_transaction
from common.redis import plain_redis, redis_key

_TIMEOUT_S = 1.0

# Takes what was stored out of the hash, and the fields that have nothing left. KEYS: the hash; ARGV: fields and counts.
_SUBTRACT = """
for i = 1, #ARGV, 2 do
  if redis.call('HINCRBY', KEYS[1], ARGV[i], -tonumber(ARGV[i + 1])) <= 0 then
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
"""


@dataclass(frozen=True, kw_only=True)
class DayOfUse:
    day: date
    accepted: int
    refused: int


def use_hash() -> str:
    """Return the Redis key of the hash; its fields are `key:day:accepted` and `key:day:refused`."""
    return redis_key("key_use")


def use_field(key: ApiKey) -> str:
    """Return the beginning of the field that counts a use now."""
    return f"{key.pk}:{datetime.now(UTC):%Y-%m-%d}"


def store_use() -> int:
    """Add what Redis has counted to the stored days; return how many requests that were. Raise a RedisError."""
    client = plain_redis(_TIMEOUT_S)
    with transaction.atomic():
        lock_in_transaction("key use")
        counted = {field: int(count) for field, count in client.hgetall(use_hash()).items()}
        days: dict[tuple[int, str], dict[str, int]] = defaultdict(dict)
        for field, count in counted.items():
            pk, day, outcome = field.split(":")
            days[int(pk), day][outcome] = count
        known = set(ApiKey.objects.filter(pk__in={pk for pk, _ in days}).values_list("pk", flat=True))
        for (pk, day), counts in days.items():
            if pk in known:
                row, _ = KeyUse.objects.get_or_create(key_id=pk, day=day)
                added = {outcome: F(outcome) + count for outcome, count in counts.items()}
                KeyUse.objects.filter(pk=row.pk).update(**added)
    if counted:
        client.eval(_SUBTRACT, 1, use_hash(), *(part for pair in counted.items() for part in pair))
    return sum(counted.values())


def use_of(key: ApiKey, days: int) -> list[DayOfUse]:
    """Return the last days with their counts, today last."""
    today = timezone.now().date()
    first = today - timedelta(days=days - 1)
    rows = {row.day: row for row in KeyUse.objects.filter(key=key, day__gte=first)}
    found = []
    for number in range(days):
        day = first + timedelta(days=number)
        row = rows.get(day)
        found.append(DayOfUse(day=day, accepted=row.accepted if row else 0, refused=row.refused if row else 0))
    return found
