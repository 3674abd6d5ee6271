"""Rate limits by tier: one atomic operation decides, before any other work."""

import logging
import uuid
from datetime import UTC, datetime, timedelta

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from chat.admission import Admission
from chat.errors import RateLimited
from chat.models import Message, Reservation
from common.locks import lock_in_transaction
from common.redis import REDIS_ERRORS, async_redis, redis_key

logger = logging.getLogger(__name__)

# A sliding window: the times of the accepted messages, by Redis's own clock.
# Returns whether this one is accepted, how many are counted, and when (in ms) the oldest leaves the window.
_ADMIT = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local window_ms, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms - window_ms)
local count = redis.call('ZCARD', KEYS[1])
local is_in = 0
if count < limit then
  redis.call('ZADD', KEYS[1], now_ms, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], window_ms)
  count, is_in = count + 1, 1
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {is_in, count, (tonumber(oldest[2]) or now_ms) + window_ms}
"""


def limit_of(tier: object) -> int:
    """Return a tier's number of messages per window; an unknown or missing tier has the default."""
    known = settings.FABRA_RATE_LIMITS.get(tier) if isinstance(tier, str) else None
    return settings.FABRA_RATE_LIMIT_DEFAULT if known is None else known


async def admit(user_id: str, tier: object) -> Admission:
    """Count one message of a user; raise RateLimited if it is one too many."""
    limit, token = limit_of(tier), uuid.uuid4().hex
    window: timedelta = settings.FABRA_RATE_LIMIT_WINDOW
    try:
        client = await async_redis()
        is_in, count, resets_ms = await client.eval(
            _ADMIT, 1, _key(user_id), int(window.total_seconds() * 1000), limit, token
        )
        is_degraded = False
    except REDIS_ERRORS:
        logger.warning("Redis does not answer: PostgreSQL counts the rate limit.")
        is_in, count, resets_ms = await sync_to_async(_admit_in_postgres)(user_id, limit, token, window)
        is_degraded = True
    admission = Admission(
        user_id=user_id,
        token=token,
        limit=limit,
        remaining=max(0, limit - count),
        resets_at=datetime.fromtimestamp(resets_ms / 1000, UTC),
        is_degraded=is_degraded,
    )
    if not is_in:
        raise RateLimited(admission)
    return admission


async def refund(admission: Admission) -> None:
    """Uncount a message that failed on our side."""
    if admission.is_degraded:
        await Reservation.objects.filter(token=admission.token).adelete()
        return
    try:
        await (await async_redis()).zrem(_key(admission.user_id), admission.token)
    except REDIS_ERRORS:
        logger.warning("Redis does not answer: a failed message stays counted.")


def _admit_in_postgres(user_id: str, limit: int, token: str, window: timedelta) -> tuple[int, int, float]:
    """Count stored messages and reservations under a lock on the user; return the same values as `_ADMIT`."""
    now = timezone.now()
    with transaction.atomic():
        lock_in_transaction(f"limit {user_id}")
        messages = Message.objects.filter(user_id=user_id, role=Message.Role.USER, created_at__gt=now - window)
        # A reservation is deleted when its message is committed; one older than any deadline was left by a crash.
        pending = Reservation.objects.filter(
            user_id=user_id, created_at__gt=now - timedelta(seconds=2 * settings.FABRA_CHAT_DEADLINE_S)
        )
        oldest = messages.order_by("created_at").values_list("created_at", flat=True).first() or now
        count = messages.count() + pending.count()
        resets_ms = (oldest + window).timestamp() * 1000
        if count >= limit:
            return 0, count, resets_ms
        Reservation.objects.create(user_id=user_id, token=token)
    return 1, count + 1, resets_ms


def _key(user_id: str) -> str:
    return redis_key("limit", user_id)
