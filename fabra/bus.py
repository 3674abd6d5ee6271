"""`from fabra.bus import RedisEventBus`"""

from events.bus import RedisEventBus

__all__ = ["RedisEventBus"]
