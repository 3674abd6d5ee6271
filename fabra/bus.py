"""`from fabra.bus import RedisEventBus`"""

from features.bus import RedisEventBus

__all__ = ["RedisEventBus"]
