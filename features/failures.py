"""Count the failures of features' functions, so that none is hidden for ever behind a default or an older value."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from common.redis import REDIS_ERRORS, async_redis, plain_redis, redis_key
from features.compute import reason
from features.errors import FeatureComputeError

logger = logging.getLogger(__name__)

_KEPT = timedelta(days=30)
"""How long the count is kept after the last failure."""
_LOG_EVERY_S = 60.0
_DAYS = 7

_logged: dict[str, tuple[float, int]] = {}
"""When each feature's failures were last logged in this process, and how many have not been logged since."""


@dataclass(frozen=True, kw_only=True)
class Failures:
    """The failures of one feature's function on demand."""

    by_day: Mapping[date, int] = field(default_factory=dict)
    """In UTC, newest first."""
    last_at: str = ""
    last_key: str = ""
    last_error: str = ""

    @property
    def recent(self) -> int:
        """The number in the last _DAYS days."""
        first = datetime.now(UTC).date() - timedelta(days=_DAYS - 1)
        return sum(count for day, count in self.by_day.items() if day >= first)


async def note_failures(feature: str, errors: Mapping[str, FeatureComputeError]) -> None:
    """Count failures by entity key, and log them at most once a minute; without Redis they are only logged."""
    if not errors:
        return
    entity_key, error = next(iter(errors.items()))
    _log(feature, len(errors), type(error.__cause__ or error).__name__)
    now, key = datetime.now(UTC), redis_key("failures", feature)
    last = {"last_at": f"{now:%Y-%m-%d %H:%M:%S}", "last_key": entity_key, "last_error": reason(error)}
    try:
        async with (await async_redis()).pipeline(transaction=False) as pipe:
            pipe.hincrby(key, now.date().isoformat(), len(errors))
            pipe.hset(key, mapping=last)
            pipe.expire(key, _KEPT)
            await pipe.execute()
    except REDIS_ERRORS:
        logger.warning("Redis does not answer: %d failures of %s are not counted.", len(errors), feature)


def failures_of(features: list[str]) -> dict[str, Failures] | None:
    """Return the failures of each feature; None if Redis does not answer."""
    try:
        with plain_redis(1.0).pipeline(transaction=False) as pipe:
            for feature in features:
                pipe.hgetall(redis_key("failures", feature))
            return {feature: _read(found) for feature, found in zip(features, pipe.execute(), strict=True)}
    except REDIS_ERRORS:
        return None


def _read(found: dict[str, str]) -> Failures:
    last = {name: found.pop(name, "") for name in ("last_at", "last_key", "last_error")}
    by_day = {date.fromisoformat(day): int(count) for day, count in sorted(found.items(), reverse=True)}
    return Failures(by_day=by_day, **last)


def _log(feature: str, count: int, cause: str) -> None:
    logged_at, waiting = _logged.get(feature, (-_LOG_EVERY_S, 0))
    now, waiting = time.monotonic(), waiting + count
    if now - logged_at < _LOG_EVERY_S:
        _logged[feature] = (logged_at, waiting)
        return
    _logged[feature] = (now, 0)
    logger.warning(
        "The function of %s failed for %d keys with %s; its default or an older value is served, if there is one.",
        feature,
        waiting,
        cause,
    )
