"""Redis clients: an async one per event loop, a blocking one per process."""

import asyncio
import time
from functools import cache
from typing import Any

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from common.per_loop import PerLoop

REDIS_ERRORS = (redis.RedisError, OSError, asyncio.TimeoutError)
"""The errors raised when Redis is down, slow or refuses a command."""


def redis_key(*parts: str) -> str:
    return ":".join((settings.FABRA_REDIS_PREFIX, *parts))


class RetryOrPause(Retry):
    """Retry a lost connection once, at once; after a timeout, stop using Redis for a while.

    A connection that Redis closed meanwhile is no outage. Without the pause, a Redis that hangs would cost a request
    the whole timeout for each command.
    """

    silent_until = 0.0
    """The end of the pause by `time.monotonic()`, for all connections of the process."""

    def __init__(self) -> None:
        super().__init__(NoBackoff(), 1, (redis.ConnectionError,))

    async def call_with_retry(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().call_with_retry(*args, **options)
        except (redis.TimeoutError, TimeoutError):
            RetryOrPause.silent_until = time.monotonic() + settings.FABRA_REDIS_TIMEOUT_S
            raise


def _make() -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_url(
        settings.REDIS_URL,
        decode_responses=True,
        socket_timeout=settings.FABRA_REDIS_TIMEOUT_S,
        socket_connect_timeout=settings.FABRA_REDIS_TIMEOUT_S,
        retry=RetryOrPause(),
        max_connections=256,
    )


_per_loop: PerLoop[redis.asyncio.Redis] = PerLoop(_make, lambda client: client.aclose())


async def async_redis() -> Any:
    """Return the running loop's client; it decodes answers to text, which redis-py's types do not express.

    Raise one of REDIS_ERRORS at once if a call timed out less than FABRA_REDIS_TIMEOUT_S ago.
    """
    if time.monotonic() < RetryOrPause.silent_until:
        raise redis.ConnectionError("Redis did not answer a moment ago.")
    return await _per_loop.get()


@cache
def plain_redis(timeout_s: float = 30) -> Any:
    """Return the process's blocking client with this timeout: long for the stream consumer, short for publishing."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        decode_responses=True,
        # A stream entry may hold any bytes; one that is not UTF-8 must not stop the consumer.
        encoding_errors="replace",
        socket_timeout=timeout_s,
        socket_connect_timeout=settings.FABRA_REDIS_TIMEOUT_S,
    )
