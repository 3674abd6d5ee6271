"""Channels' layer over Redis' publish and subscribe, with the project's server, prefix and timeouts."""

from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


class RedisLayer(RedisPubSubChannelLayer):
    """The layer of `CHANNEL_LAYERS`; it subscribes again by itself after Redis was away."""

    def __init__(self) -> None:
        host = {
            "address": settings.REDIS_URL,
            "socket_timeout": settings.FABRA_REDIS_TIMEOUT_S,
            "socket_connect_timeout": settings.FABRA_REDIS_TIMEOUT_S,
            "retry": Retry(NoBackoff(), 1),
        }
        super().__init__(hosts=[host], prefix=f"{settings.FABRA_REDIS_PREFIX}:live:")
