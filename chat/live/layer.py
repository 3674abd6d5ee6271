"""Channels' layer over Redis' publish and subscribe, with the project's server, prefix and timeouts."""

from channels.layers import channel_layers
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_NAME = "fabra"


class RedisLayer(RedisPubSubChannelLayer):
    """The layer of open pages; it subscribes again by itself after Redis was away."""

    def __init__(self) -> None:
        host = {
            "address": settings.REDIS_URL,
            "socket_timeout": settings.FABRA_REDIS_TIMEOUT_S,
            "socket_connect_timeout": settings.FABRA_REDIS_TIMEOUT_S,
            "retry": Retry(NoBackoff(), 1),
        }
        super().__init__(hosts=[host], prefix=f"{settings.FABRA_REDIS_PREFIX}:live:")


def live_layer() -> RedisLayer:
    """Return the process's layer; it is beside those of CHANNEL_LAYERS, which a project may have for itself."""
    if _NAME not in channel_layers.backends:
        channel_layers.set(_NAME, RedisLayer())
    layer: RedisLayer = channel_layers[_NAME]
    return layer
