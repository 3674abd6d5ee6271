"""Consumer groups of the Redis stream that do not read it: no entry goes before every group has acknowledged it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core import checks
from django.utils import timezone

from common.redis import REDIS_ERRORS, plain_redis
from events.bus import GROUP, first_needed, stream_key, time_of_entry

BEHIND_AFTER = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class GroupBehind:
    """A group that has not acknowledged an entry for BEHIND_AFTER."""

    name: str
    since: datetime
    """When that entry was added."""
    entries: int
    """In the whole stream."""

    def __str__(self) -> str:
        return (
            f"The consumer group {self.name!r} has not read the event stream since {self.since:%Y-%m-%d %H:%M} UTC; "
            f"its {self.entries:,} entries stay in Redis."
        )


def groups_behind() -> list[GroupBehind]:
    """Return the groups for which the stream is kept; raise one of REDIS_ERRORS."""
    client = plain_redis(settings.FABRA_REDIS_TIMEOUT_S)
    if not client.exists(stream_key()):
        return []
    found = []
    for group in client.xinfo_groups(stream_key()):
        needed = client.xrange(stream_key(), min=first_needed(client, group), count=1)
        if needed and (since := time_of_entry(needed[0][0])) < timezone.now() - BEHIND_AFTER:
            found.append(GroupBehind(name=group["name"], since=since, entries=client.xlen(stream_key())))
    return found


def check_groups(databases: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Check the groups where a check may ask servers: in `migrate`, and with `--database default`."""
    try:
        behind = groups_behind() if databases else []
    except REDIS_ERRORS:
        return []
    return [checks.Warning(str(group), hint=_hint(group.name), id="events.W001") for group in behind]


def _hint(name: str) -> str:
    if name == GROUP:
        return "Start `manage.py consume_events`."
    return f"Start its reader, or, if there is none any more, remove it: XGROUP DESTROY {stream_key()} {name}."
