"""Redis clients: an async one per event loop, a plain one per process."""

import asyncio
from functools import cache
from typing import Any

import redis
import redis.asyncio
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.per_loop import PerLoop

REDIS_ERRORS = (redis.RedisError, OSError, asyncio.TimeoutError)
"""What a Redis that is down, slow or refusing raises."""


def redis_key(*parts: str) -> str:
    return ":".join((settings.FABRA_REDIS_PREFIX, *parts))


def _make() -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_url(
        settings.REDIS_URL,
        decode_responses=True,
        socket_timeout=settings.FABRA_REDIS_TIMEOUT_S,
        socket_connect_timeout=settings.FABRA_REDIS_TIMEOUT_S,
        # One immediate retry: a connection that Redis closed meanwhile is no outage.
        retry=Retry(NoBackoff(), 1),
        max_connections=256,
    )


_per_loop: PerLoop[redis.asyncio.Redis] = PerLoop(_make, lambda client: client.aclose())


async def async_redis() -> Any:
    """Return the running loop's client; it answers in text, which redis-py's own types do not know."""
    return await _per_loop.get()


@cache
def plain_redis(timeout_s: float = 30) -> Any:
    """Return the process's blocking client: the stream consumer's waits long, publishing on commit does not."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        decode_responses=True,
        # A stream entry may hold any bytes; one that is no UTF-8 must not stop the consumer.
        encoding_errors="replace",
        socket_timeout=timeout_s,
        socket_connect_timeout=settings.FABRA_REDIS_TIMEOUT_S,
    )
