"""Rate limits by user, address and API key: one atomic operation decides, before any other work."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from asgiref.sync import sync_to_async
from django.conf import settings

from chat.access.callers import Caller
from chat.limits.admission import Admission, RateLimited
from chat.limits.configured import MessageLimits, current_limits, current_limits_now, tier_name
from chat.limits.windows import (
    USER,
    Counted,
    RateWindow,
    count,
    count_blocking,
    count_in_postgres,
    uncount,
    uncount_blocking,
)  # fmt: skip
from chat.models import ApiKey, Message
from common.redis import REDIS_ERRORS

logger = logging.getLogger(__name__)

_STAYS_COUNTED = "Redis does not answer: a failed message stays counted."


async def admit(user_id: str, tier: object, caller: Caller | None = None, *, token: str = "") -> Admission:
    """Count one message of a user, of their address and of their API key; raise RateLimited if it is one too many.

    A message that was counted with the same token is not counted again.
    """
    limits = await current_limits()
    own = _window(f"{USER}{user_id}", limits, limits.of_tier(tier), "messages")
    windows = [*own, *_windows_of(caller or Caller(), limits)]
    counted = await _count_message(windows, token, caller.key if caller else None)
    return _admission(counted, user_id, tier_name(tier), shows_first=bool(own))


async def admit_to_person(refused: RateLimited, caller: Caller, *, token: str = "") -> Admission:
    """Count a message that is only for a person, and that `admit` refused; raise RateLimited if it is one too many.

    It costs no model. So it counts against a wider limit of the user, and once more against the same ones of the
    address and the key, in windows of their own. Whoever may send nothing at all reaches nobody.
    """
    refusal = refused.admission
    if any(window.limit == 0 for window in refusal.counted.windows):
        raise refused
    limits, user_id = await current_limits(), refusal.user_id
    own = _window(user_id, limits, limits.person, "messages to a person")
    windows = [replace(window, subject=f"person:{window.subject}") for window in [*own, *_windows_of(caller, limits)]]
    counted = await _count_message(windows, token)
    return replace(_admission(counted, user_id, refusal.tier, shows_first=bool(own)), refused=refused)


def count_request(key: ApiKey) -> None:
    """Count one request of an API key, also against limits of its own; raise RateLimited if it is one too many."""
    _count(_windows_of_key(key), key)


def count_feedback(user_id: str) -> None:
    """Count one change of a user's feedback; raise RateLimited if it is one too many."""
    limits = current_limits_now()
    _count(_window(f"feedback:{user_id}", limits, limits.feedback, "changes of feedback"))


def count_handover(user_id: str) -> None:
    """Count a user's address, or wish for a person that is taken back; raise RateLimited if it is one too many."""
    limits, limit = current_limits_now(), settings.FABRA_RATE_LIMIT_HANDOVER
    _count(_window(f"handover:{user_id}", limits, limit, "changes of this kind"))


async def _count_message(windows: list[RateWindow], token: str, key: ApiKey | None = None) -> Counted:
    try:
        return await count(windows, token, key)
    except REDIS_ERRORS:
        _warn()
        return await sync_to_async(count_in_postgres)(windows, token)


def _count(windows: list[RateWindow], key: ApiKey | None = None) -> None:
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
        logger.warning(_STAYS_COUNTED)


def refund_stored(message: Message) -> None:
    """Uncount a stored message whose process was killed; only its address, which is not stored, stays counted."""
    if message.count_token is None:
        return
    keys = _windows_of_key(message.api_key) if message.api_key else []
    subjects = [f"{USER}{message.user_id}", *(window.subject for window in keys)]
    try:
        uncount_blocking(subjects, message.count_token.hex)
    except REDIS_ERRORS:
        logger.warning(_STAYS_COUNTED)


def _windows_of(caller: Caller, limits: MessageLimits) -> list[RateWindow]:
    windows = _windows_of_key(caller.key) if caller.key is not None else []
    if not caller.sender:
        return windows
    return [*windows, *_window(f"address:{caller.sender}", limits, limits.address, "messages from one address")]


def _window(subject: str, limits: MessageLimits, limit: int | None, what: str) -> list[RateWindow]:
    """Return the window of a limit; none for one that is unlimited."""
    return [] if limit is None else [RateWindow(subject=subject, length=limits.window, limit=limit, what=what)]


def _windows_of_key(key: ApiKey) -> list[RateWindow]:
    limits: Sequence[tuple[str, timedelta, int | None]] = (
        ("minute", timedelta(minutes=1), key.per_minute),
        ("day", timedelta(days=1), key.per_day),
    )
    return [
        RateWindow(
            subject=f"key:{key.pk}:{name}", length=length, limit=limit, what=f"requests a {name} with this API key"
        )
        for name, length, limit in limits
        if limit is not None
    ]


def _admission(counted: Counted, user_id: str, tier: str | None = None, *, shows_first: bool = True) -> Admission:
    """Return the state of the limit that is shown: the user's, or the one that refuses. Raise RateLimited.

    A user without a limit is shown none, whatever else their message counts against.
    """
    if counted.is_accepted and not shows_first:
        return Admission(user_id=user_id, counted=counted, tier=tier)
    shown = 0 if counted.is_accepted else counted.refusing()
    window = counted.windows[shown]
    admission = Admission(
        user_id=user_id,
        counted=counted,
        limit=window.limit,
        remaining=max(0, window.limit - counted.counts[shown]),
        resets_at=counted.resets_at[shown],
        what=window.what,
        tier=tier,
    )
    if not counted.is_accepted:
        raise RateLimited(admission)
    return admission


def _warn() -> None:
    logger.warning("Redis does not answer: PostgreSQL counts the rate limit.")
