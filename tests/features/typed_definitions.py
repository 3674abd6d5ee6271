"""Functions whose annotations are strings, as `from __future__ import annotations` makes them."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


def logged(function: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(function)
    def inner(*args: object, **kwargs: object) -> object:
        return function(*args, **kwargs)

    return inner


def price(shopper_id: str) -> Decimal:
    return Decimal("12.50")


async def seen_at(shopper_id: str) -> datetime | None:
    return datetime(2026, 3, 29, 2, 30, tzinfo=UTC)


@logged
def wrapped(shopper_id: str) -> list[Decimal]:
    return [Decimal("0.10")]


def for_each(shopper_ids: list[str]) -> dict[str, Decimal | None]:
    return {key: Decimal("1.5") for key in shopper_ids}


def in_order(shopper_ids: list[str]) -> list[set[int]]:
    return [{1, 2} for _ in shopper_ids]


def unresolved(shopper_id: str) -> UUID:
    return shopper_id


def defined_later(shopper_id: str) -> Later:
    return Later("x")


class Later(str):
    __slots__ = ()


def handler(shopper_id: str) -> Awaitable[str]:
    raise NotImplementedError
