"""Durations as people write them: a timedelta, or "90s", "5m", "1h30m", "7d"."""

import re
from datetime import timedelta

from common.errors import DefinitionError

Duration = timedelta | str

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PART = re.compile(r"(\d+)([smhdw])")


def parse_duration(value: Duration | None, what: str) -> timedelta | None:
    """Return the duration, or None for None; raise DefinitionError unless it is positive."""
    if value is None:
        return None
    if isinstance(value, str):
        duration = _parse_text(value)
    elif isinstance(value, timedelta):
        duration = value
    else:
        duration = None
    if duration is None:
        raise DefinitionError(f'{what} must be a timedelta or text like "5m" or "1h30m", not {value!r}.')
    if duration <= timedelta(0):
        raise DefinitionError(f"{what} must be longer than zero, not {value!r}.")
    return duration


def _parse_text(text: str) -> timedelta | None:
    parts = _PART.findall(text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), timedelta())


def format_duration(duration: timedelta) -> str:
    """Return the shortest text that `parse_duration` reads back, in whole seconds."""
    seconds, text = int(duration.total_seconds()), ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
