"""Convert what Django code returns to JSON's own types, always in the same way."""

import dataclasses
import math
import sys
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from django.utils.duration import duration_iso_string
from django.utils.functional import Promise

from common.validation import to_json

_SIGNIFICANT = 1e16
"""PostgreSQL's jsonb writes a float from here on without a fraction, so that it is read as a whole number."""

_FINE_UNITS = ("ns", "ps", "fs", "as")


class NotStorable(Exception):
    """The value has no form in JSON; the message is a sentence about it."""


def plain(value: Any) -> Any:
    """Return the value in JSON's own types; raise NotStorable with the type that has no form in JSON.

    Decimals, UUIDs, dates, times and durations become text (ISO 8601), sets sorted lists, tuples and arrays lists,
    enums their values, dataclasses objects, and keys text. A datetime must have a timezone, a number must be finite.
    """
    try:
        return _plain(value)
    except RecursionError:
        raise NotStorable("It is nested too deeply, or in itself.") from None


def _plain(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (str, int, bool):
        return value
    if kind is float:
        return _float(value)
    if kind is list:
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, dict):
        return _object(value)
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=lambda item: to_json(item, "An item of a set"))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _object({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if is_numpy(value):
        return _plain(_without_numpy(value))
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, str | Promise):  # a subclass such as SafeString, or a lazy translation
        return str.__str__(value) if isinstance(value, str) else str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _float(float(value))
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise NotStorable(f"{value} is not a finite number.")
        return str(value)
    if isinstance(value, date | time):
        if value != value:  # NaT, which pandas has where a time is missing
            raise NotStorable(f"{type(value).__name__} is no time.")
        check_offset(value)
        return value.isoformat()
    if isinstance(value, timedelta):
        return duration_iso_string(value)
    if isinstance(value, UUID):
        return str(value)
    raise NotStorable(f"{type(value).__name__} has no form in JSON.")


def check_offset(value: Any) -> None:
    """Raise NotStorable for a datetime without an offset, or a time whose offset depends on the day, anywhere in it."""
    if isinstance(value, datetime) and value.utcoffset() is None:
        raise NotStorable("A datetime must have a timezone.")
    if isinstance(value, time) and value.tzinfo is not None and value.utcoffset() is None:
        raise NotStorable("A time must have a fixed offset, or none.")
    if isinstance(value, dict):
        for pair in value.items():
            check_offset(pair)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            check_offset(item)


def _float(value: float) -> float | int:
    if not math.isfinite(value):
        raise NotStorable(f"{value} is not a finite number.")
    if abs(value) >= _SIGNIFICANT:
        return int(value)
    return value or 0.0  # jsonb has no negative zero


def _object(value: dict[Any, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = _plain(key)
        if not isinstance(name, str):
            if isinstance(name, list | dict):
                raise NotStorable(f"{type(key).__name__} cannot be the key of an object.")
            name = to_json(name, "A key")
        if name in result:
            raise NotStorable(f"Two keys are {name!r} in JSON.")
        result[name] = _plain(item)
    # In the order in which jsonb gives the keys back: Redis would keep another.
    return dict(sorted(result.items(), key=lambda pair: _jsonb_order(pair[0])))


def _jsonb_order(key: str) -> tuple[int, bytes]:
    encoded = key.encode("utf-8", "surrogatepass")
    return len(encoded), encoded


def is_numpy(value: Any) -> bool:
    numpy = sys.modules.get("numpy")  # a value of NumPy has imported it
    return numpy is not None and isinstance(value, numpy.generic | numpy.ndarray)


def _without_numpy(value: Any) -> Any:
    """Return the Python number or list of a NumPy value; raise NotStorable where there is none."""
    found = (_time_of_python(value) if value.dtype.kind in "mM" else value).tolist()  # of a scalar, its number
    if is_numpy(found):
        raise NotStorable(f"{type(value).__name__} has no form in JSON.")
    return found


def _time_of_python(value: Any) -> Any:
    """Return times or durations in a unit that Python has: NumPy gives others as bare numbers, such as nanoseconds."""
    numpy = sys.modules["numpy"]
    kind, (unit, _) = value.dtype.kind, numpy.datetime_data(value.dtype)
    if kind == "m" and unit in ("Y", "M", "generic"):
        raise NotStorable("A duration needs a unit of fixed length, such as seconds.")
    if unit not in _FINE_UNITS:
        return value
    found = value.astype(f"{kind}8[us]")
    if ((found != value) & ~numpy.isnat(value)).any():
        raise NotStorable("A time or duration must have whole microseconds.")
    return found


def python_values(value: Any) -> Any:
    """Return the value with NumPy's numbers and Django's lazy texts inside containers replaced by Python's own."""
    if is_numpy(value):
        return _without_numpy(value)
    if isinstance(value, Promise):
        return str(value)
    if isinstance(value, dict):
        return {python_values(key): python_values(item) for key, item in value.items()}
    if type(value) in (list, tuple, set, frozenset):
        items: Iterable[Any] = (python_values(item) for item in value)
        return type(value)(items)
    return value
