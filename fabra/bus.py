"""`from fabra.bus import RedisEventBus`"""

from fabra.standalone import ensure_django, load_team_definitions

ensure_django()

from events.bus import RedisEventBus  # noqa: E402 (Django is set up first)

__all__ = ["RedisEventBus"]

load_team_definitions()
