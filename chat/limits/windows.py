"""Sliding windows that count requests: all windows of a request accept it, or none counts it."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from chat.limits.key_use import use_field, use_hash
from chat.models import ApiKey, CountedRequest, Message, Reservation
from common.locks import lock_in_transaction
from common.redis import async_redis, plain_redis, redis_key
from contexts.models import Trace

USER = "user:"
CLIENT_LEFT = "client_disconnected"
"""The error of an answer whose client went away before its end: the only failed one that stays counted."""
_LONGEST_SUBJECT = CountedRequest._meta.get_field("subject").max_length or 0
_USE_TIMEOUT_S = 0.1
"""Where only the use of a key is counted: a Redis that hangs must not delay a request for that."""

# The times of the accepted requests, by Redis's own clock; KEYS are the windows and the hash of the API keys' use.
# ARGV: the request's token, then the length in ms and the limit of each window, and the field of the key's use, or "".
# Returns whether all accept it, whether one had counted its token before, then for each window how many are counted and
# when (in ms) the oldest leaves it.
_COUNT = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local counts, is_in, was_in, use = {}, 1, 0, ARGV[#ARGV]
-- Changes nothing, and is refused where Redis is full of what it may not evict: it has then evicted windows.
if #KEYS > 1 then redis.call('ZADD', KEYS[1], 'XX', now_ms, '') end
for i = 1, #KEYS - 1 do
  local key = KEYS[i]
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now_ms - tonumber(ARGV[2 * i]))
  counts[i] = redis.call('ZCARD', key)
  if redis.call('ZSCORE', key, ARGV[1]) then was_in = 1
  elseif counts[i] >= tonumber(ARGV[2 * i + 1]) then is_in = 0 end
end
if use ~= '' then redis.call('HINCRBY', KEYS[#KEYS], use .. (is_in == 1 and ':accepted' or ':refused'), 1) end
local answer = {is_in, was_in}
for i = 1, #KEYS - 1 do
  local key = KEYS[i]
  local length_ms = tonumber(ARGV[2 * i])
  if is_in == 1 then
    counts[i] = counts[i] + redis.call('ZADD', key, 'NX', now_ms, ARGV[1])
    redis.call('PEXPIRE', key, length_ms)
  end
  local oldest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  answer[2 * i + 1] = counts[i]
  answer[2 * i + 2] = (tonumber(oldest[2]) or now_ms) + length_ms
end
return answer
"""


def _key_of(subject: str) -> str:
    return redis_key("limit", subject)


@dataclass(frozen=True, kw_only=True)
class RateWindow:
    """So many requests of a subject in a length of time."""

    subject: str
    """What is counted, such as `user:ana`, `key:7:minute` or `address:192.0.2.1`."""
    length: timedelta
    limit: int
    what: str
    """What the limit is of, for its error's sentence."""

    @property
    def key(self) -> str:
        return _key_of(self.subject)

    @property
    def column(self) -> str:
        """The subject as PostgreSQL keeps it: the id of a user may be longer than the column."""
        is_short = len(self.subject) <= _LONGEST_SUBJECT
        return self.subject if is_short else hashlib.sha256(self.subject.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A request that was counted in all of its windows, or in none."""

    token: str
    windows: Sequence[RateWindow]
    is_accepted: bool
    counts: list[int]
    resets_at: list[datetime]
    """When the oldest counted request of each window leaves it."""
    is_degraded: bool = False
    """True if Redis did not answer, so that PostgreSQL counted."""
    was_counted: bool = False
    """True if it was counted with the same token before."""

    def refusing(self) -> int:
        """Return the number of the window that decides when the next request is accepted."""
        full = [number for number, window in enumerate(self.windows) if self.counts[number] >= window.limit]
        return max(full, key=lambda number: self.resets_at[number])


async def count(windows: Sequence[RateWindow], token: str = "", key: ApiKey | None = None) -> Counted:
    """Count a request in Redis, and as a use of the key, in one round trip; raise one of REDIS_ERRORS.

    What was counted with the same token keeps its place.
    """
    token = token or uuid.uuid4().hex
    return _counted(token, windows, await (await async_redis()).eval(*_call(token, windows, key)))


def count_blocking(windows: Sequence[RateWindow], key: ApiKey | None = None) -> Counted:
    """Do the same without an event loop."""
    token = uuid.uuid4().hex
    client = plain_redis(settings.FABRA_REDIS_TIMEOUT_S if windows else _USE_TIMEOUT_S)
    return _counted(token, windows, client.eval(*_call(token, windows, key)))


async def uncount(counted: Counted) -> None:
    """Take a request out of its windows; raise one of REDIS_ERRORS."""
    if counted.is_degraded:
        await Reservation.objects.filter(token=counted.token).adelete()
        await CountedRequest.objects.filter(token=counted.token).adelete()
        return
    pipeline = (await async_redis()).pipeline(transaction=False)
    for window in counted.windows:
        pipeline.zrem(window.key, counted.token)
    await pipeline.execute()


def uncount_blocking(subjects: Sequence[str], token: str) -> None:
    """Take a request out of the windows of these subjects, whoever counted it; raise one of REDIS_ERRORS."""
    CountedRequest.objects.filter(token=token).delete()
    pipeline = plain_redis(settings.FABRA_REDIS_TIMEOUT_S).pipeline(transaction=False)
    for subject in subjects:
        pipeline.zrem(_key_of(subject), token)
    pipeline.execute()


def count_in_postgres(windows: Sequence[RateWindow], token: str = "") -> Counted:
    """Count a request under a lock for each window.

    A user's stored messages are counted with the reservations, so an outage of Redis forgets none. The other windows
    begin anew with the outage.
    """
    now, token = timezone.now(), token or uuid.uuid4().hex
    with transaction.atomic():
        for subject in sorted(window.subject for window in windows):  # in one order, so that no two wait for each other
            lock_in_transaction(f"limit {subject}")
        earlier = [model.objects.filter(token=token).delete()[0] for model in (Reservation, CountedRequest)]
        found = [_stored(window, now) for window in windows]
        is_accepted = all(count < window.limit for window, (count, _) in zip(windows, found, strict=True))
        if is_accepted:
            for window in windows:
                if window.subject.startswith(USER):
                    Reservation.objects.create(user_id=window.subject.removeprefix(USER), token=token)
                else:
                    CountedRequest.objects.create(subject=window.column, token=token)
    return Counted(
        token=token,
        windows=windows,
        is_accepted=is_accepted,
        counts=[count + is_accepted for count, _ in found],
        resets_at=[oldest + window.length for window, (_, oldest) in zip(windows, found, strict=True)],
        is_degraded=True,
        was_counted=any(earlier),
    )


def _stored(window: RateWindow, now: datetime) -> tuple[int, datetime]:
    """Return how many requests are stored in a window, and when the oldest was made."""
    rows = CountedRequest.objects.filter(subject=window.column, created_at__gt=now - window.length)
    pending = 0
    if window.subject.startswith(USER):
        user_id = window.subject.removeprefix(USER)
        # A failed answer is refunded, as in Redis; one that its client left is not.
        is_refunded = Q(trace__state=Trace.State.FAILED) & ~Q(trace__error_code=CLIENT_LEFT)
        rows = Message.objects.filter(  # type: ignore[assignment]
            user_id=user_id, role=Message.Role.USER, created_at__gt=now - window.length
        ).exclude(is_refunded)
        # A reservation is deleted when its message is committed; one older than any deadline was left by a crash.
        since = now - timedelta(seconds=2 * settings.FABRA_CHAT_DEADLINE_S)
        pending = Reservation.objects.filter(user_id=user_id, created_at__gt=since).count()
    oldest = rows.order_by("created_at").values_list("created_at", flat=True).first() or now
    return rows.count() + pending, oldest


def _call(token: str, windows: Sequence[RateWindow], key: ApiKey | None) -> list[str | int]:
    lengths = [(int(window.length.total_seconds() * 1000), window.limit) for window in windows]
    keys = [*(window.key for window in windows), use_hash()]
    numbers = [number for pair in lengths for number in pair]
    return [_COUNT, len(keys), *keys, token, *numbers, use_field(key) if key else ""]


def _counted(token: str, windows: Sequence[RateWindow], answer: list[int]) -> Counted:
    is_accepted, was_counted, *rest = answer
    moments = [datetime.fromtimestamp(ms / 1000, UTC) for ms in rest[1::2]]
    return Counted(
        token=token, windows=windows, is_accepted=bool(is_accepted), counts=rest[::2], resets_at=moments,
        was_counted=bool(was_counted),
    )  # fmt: skip
