"""Rate limits by user, address and API key: one atomic operation decides, before any other work."""

import logging
from collections.abc import Sequence
from datetime import timedelta

from asgiref.sync import sync_to_async
from django.conf import settings

from chat.access.callers import Caller
from chat.errors import RateLimited
from chat.limits.admission import Admission
from chat.limits.windows import USER, Counted, Window, count, count_blocking, count_in_postgres, uncount
from chat.models import ApiKey
from common.redis import REDIS_ERRORS

logger = logging.getLogger(__name__)


def limit_of(tier: object) -> int:
    """Return a tier's number of messages per window; an unknown or missing tier has the default."""
    known = settings.FABRA_RATE_LIMITS.get(tier) if isinstance(tier, str) else None
    return settings.FABRA_RATE_LIMIT_DEFAULT if known is None else known


async def admit(user_id: str, tier: object, caller: Caller | None = None, *, token: str = "") -> Admission:
    """Count one message of a user, of their address and of their API key; raise RateLimited if it is one too many.

    A message that was counted with the same token is not counted again.
    """
    windows = [
        Window(
            subject=f"{USER}{user_id}",
            length=settings.FABRA_RATE_LIMIT_WINDOW,
            limit=limit_of(tier),
            what="messages",
        ),
        *_windows_of(caller or Caller()),
    ]
    try:
        counted = await count(windows, token, caller.key if caller else None)
    except REDIS_ERRORS:
        _warn()
        counted = await sync_to_async(count_in_postgres)(windows, token)
    return _admission(counted, user_id)


def count_request(key: ApiKey) -> None:
    """Count one request of an API key, also against limits of its own; raise RateLimited if it is one too many."""
    windows = _windows_of_key(key)
    try:
        counted = count_blocking(windows, key)
    except REDIS_ERRORS:
        if not windows:
            return
        _warn()
        counted = count_in_postgres(windows)
    if windows:
        _admission(counted, "")


async def refund(admission: Admission) -> None:
    """Uncount a message that failed on our side."""
    try:
        await uncount(admission.counted)
    except REDIS_ERRORS:
        logger.warning("Redis does not answer: a failed message stays counted.")


def _windows_of(caller: Caller) -> list[Window]:
    windows = _windows_of_key(caller.key) if caller.key is not None else []
    if not caller.sender or not settings.FABRA_RATE_LIMIT_ADDRESS:
        return windows
    window = Window(
        subject=f"address:{caller.sender}",
        length=settings.FABRA_RATE_LIMIT_WINDOW,
        limit=settings.FABRA_RATE_LIMIT_ADDRESS,
        what="messages from one address",
    )
    return [*windows, window]


def _windows_of_key(key: ApiKey) -> list[Window]:
    limits: Sequence[tuple[str, timedelta, int | None]] = (
        ("minute", timedelta(minutes=1), key.per_minute),
        ("day", timedelta(days=1), key.per_day),
    )
    return [
        Window(subject=f"key:{key.pk}:{name}", length=length, limit=limit, what=f"requests a {name} with this API key")
        for name, length, limit in limits
        if limit is not None
    ]


def _admission(counted: Counted, user_id: str) -> Admission:
    """Return the state of the limit that is shown: the user's, or the one that refuses. Raise RateLimited."""
    shown = 0 if counted.is_accepted else counted.refusing()
    window = counted.windows[shown]
    admission = Admission(
        user_id=user_id,
        counted=counted,
        limit=window.limit,
        remaining=max(0, window.limit - counted.counts[shown]),
        resets_at=counted.resets_at[shown],
        what=window.what,
    )
    if not counted.is_accepted:
        raise RateLimited(admission)
    return admission


def _warn() -> None:
    logger.warning("Redis does not answer: PostgreSQL counts the rate limit.")
