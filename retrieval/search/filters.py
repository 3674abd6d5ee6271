"""Translate filters on the metadata of documents, and on their audience, to SQL conditions.

A filter is an object. Each name is a field of the metadata; its value is what the field must equal, or an object of
operators that must all hold:

    {"category": "account"}                        the field equals the value, or is a list that contains it
    {"version": {"$gte": 3, "$lt": 5}}             $gt $gte $lt $lte: numbers with numbers, text with text
    {"tags": {"$in": ["sso", "saml"]}}             $in, $nin: any, or none, of these values
    {"draft": {"$ne": true}}                       not equal; a document without the field passes, as with $nin
    {"owner": {"$exists": true}}                   the document has the field (false: has it not)
    {"$or": [{...}, {...}]}                        $and and $or take a list of filters, $not takes one

Text compares by code point, so ISO dates compare by time. Anything outside this grammar raises InvalidFilter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.errors import InvalidInput
from common.validation import check_text, is_blank, to_json

MAX_CONDITIONS = 200
MAX_DEPTH = 8
MAX_AUDIENCE = 100
AUDIENCE_MAX_CHARS = 150
"""The longest name of an audience, as of one of Django's groups."""
EVERYONE = "*"
"""An audience that sees every document: for operators and measurements, never for a user's query."""

Audience = Sequence[str] | None


class InvalidFilter(InvalidInput):
    """The filter does not follow the grammar."""

    code = "invalid_filter"


@dataclass(kw_only=True)
class Conditions:
    """SQL conditions on the chunk `c`, each with a leading AND, and their parameters."""

    sql: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: Any) -> str:
        """Add a parameter and return its placeholder; raise InvalidFilter beyond MAX_CONDITIONS."""
        if len(self.parameters) >= MAX_CONDITIONS:
            raise InvalidFilter(f"A filter must have at most {MAX_CONDITIONS} values.")
        name = f"filter_{len(self.parameters)}"
        self.parameters[name] = value
        return f"%({name})s"


def conditions(filters: dict[str, Any] | None, audience: Audience) -> Conditions:
    """Return the conditions that a chunk must meet; without an audience only documents for everyone are found.

    Raise InvalidFilter, or InvalidInput for an audience that is no list of text.
    """
    where = Conditions()
    if filters:
        if not isinstance(filters, dict):
            raise InvalidFilter("filters must be an object.")
        where.sql += f" AND {_all_of(filters, where, 0)}"
    names = check_audience(audience)
    if names != EVERYONE:
        where.sql += " AND (c.audience = '{}'"
        where.sql += f" OR c.audience && {where.bind(names)}::varchar[])" if names else ")"
    return where


def check_audience(audience: Audience) -> list[str] | str:
    """Return the audience as a sorted list without duplicates, or EVERYONE; raise InvalidInput."""
    if audience == EVERYONE:
        return EVERYONE
    if audience is None:
        return []
    if isinstance(audience, str) or not isinstance(audience, Sequence) or len(audience) > MAX_AUDIENCE:
        raise InvalidInput(f"audience must be a list of at most {MAX_AUDIENCE} names.")
    for name in audience:
        if is_blank(check_text(name, "audience")) or len(name) > AUDIENCE_MAX_CHARS:
            raise InvalidInput(f"An audience must have 1 to {AUDIENCE_MAX_CHARS} characters.")
        if name == EVERYONE:
            raise InvalidInput(f'"{EVERYONE}" is no name of an audience; leave the list empty for everyone.')
    return sorted(set(audience))


def is_within(audience: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether who may find a document with the one audience may find it with the other as well."""
    return not other or (bool(audience) and set(audience) <= set(other))


def is_open_beyond(audience: Sequence[str], readers: Sequence[str] | None) -> bool:
    """Return whether others find a document with the audience than may read it; None: nobody knows who may."""
    return readers is None or not is_within(audience, readers)


def _all_of(filters: Any, where: Conditions, depth: int) -> str:
    if not isinstance(filters, dict) or not filters:
        raise InvalidFilter("A filter must be an object with at least one field.")
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"A filter must be at most {MAX_DEPTH} levels deep.")
    return f"({' AND '.join(_condition(name, value, where, depth) for name, value in filters.items())})"


def _condition(name: str, value: Any, where: Conditions, depth: int) -> str:
    if not isinstance(name, str):
        raise InvalidFilter("The names in a filter must be text.")
    if name in ("$and", "$or"):
        if not isinstance(value, list) or not value:
            raise InvalidFilter(f"{name} needs a list of filters.")
        return f"({f' {name[1:].upper()} '.join(_all_of(part, where, depth + 1) for part in value)})"
    if name == "$not":
        return f"(NOT {_all_of(value, where, depth + 1)})"
    if name.startswith("$"):
        raise InvalidFilter(f"{name[:40]!r} is no operator here; known are $and, $or and $not.")
    check_text(name, "The name of a field")
    if not isinstance(value, dict):
        return _equal(name, value, where)
    if not value:
        raise InvalidFilter(f"The filter on {name!r} is an empty object.")
    return f"({' AND '.join(_operator(operator)(name, operand, where) for operator, operand in value.items())})"


def _operator(name: str) -> Callable[[str, Any, Conditions], str]:
    if name not in _OPERATORS:
        raise InvalidFilter(f"{name[:40]!r} is no operator; known are {', '.join(_OPERATORS)}.")
    return _OPERATORS[name]


def _equal(name: str, value: Any, where: Conditions) -> str:
    if isinstance(value, dict | list):
        kind = type(value).__name__
        raise InvalidFilter(f"The filter on {name!r} must compare with a plain value, not with a {kind}.")
    as_value, in_list = (where.bind(to_json({name: operand}, "filters")) for operand in (value, [value]))
    return f"(c.metadata @> {as_value}::jsonb OR c.metadata @> {in_list}::jsonb)"


def _in(name: str, values: Any, where: Conditions) -> str:
    if not isinstance(values, list | tuple) or not values:
        raise InvalidFilter(f"$in and $nin on {name!r} need a list of values.")
    return "(" + " OR ".join(_equal(name, value, where) for value in values) + ")"


def _exists(name: str, value: Any, where: Conditions) -> str:
    if not isinstance(value, bool):
        raise InvalidFilter(f"$exists on {name!r} must be true or false.")
    return f"({'' if value else 'NOT '}c.metadata ? {where.bind(name)})"


def _compare(operator: str) -> Callable[[str, Any, Conditions], str]:
    def compare(name: str, value: Any, where: Conditions) -> str:
        field_ = f"c.metadata -> {where.bind(name)}::text"
        if isinstance(value, str):
            text = where.bind(check_text(value, "filters"))
            return (
                f"(jsonb_typeof({field_}) = 'string' AND ({field_} #>> '{{}}') COLLATE \"C\" {operator} {text}::text)"
            )
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidFilter(f"The filter on {name!r} can compare with a number or text only.")
        number = where.bind(to_json(value, "filters"))
        return f"(jsonb_typeof({field_}) = 'number' AND {field_} {operator} {number}::jsonb)"

    return compare


_OPERATORS: dict[str, Callable[[str, Any, Conditions], str]] = {
    "$eq": _equal,
    "$ne": lambda name, value, where: f"(NOT {_equal(name, value, where)})",
    "$gt": _compare(">"),
    "$gte": _compare(">="),
    "$lt": _compare("<"),
    "$lte": _compare("<="),
    "$in": _in,
    "$nin": lambda name, values, where: f"(NOT {_in(name, values, where)})",
    "$exists": _exists,
}
