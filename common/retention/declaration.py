"""What an app says of its tables: how long their rows are kept, or why they need not be removed by age."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Model, Q, QuerySet

from common.clocks import AHEAD
from common.definitions import add_once

BATCH = 500
"""Rows that one transaction removes: small enough that nobody waits for its locks."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some old rows, by their keys."""

    keys: Sequence[Any]
    cursors: Sequence[Any]
    """What comes behind each of them."""
    cursor: Any
    """What comes behind the last row that was looked at follows next; JSON."""
    is_last: bool


@dataclass(frozen=True, kw_only=True)
class Retained:
    """Rows of one table that go when they are old."""

    name: str
    """What they are, in the plural, for people."""
    model: type[Model]
    time: str
    """The column by which they grow old."""
    created: str | None = ""
    """The column that says when they were written, where `time` does not; None if none does."""
    setting: str = ""
    """The setting with the timedelta that they are kept for; one that is not positive keeps them for ever."""
    length: timedelta = timedelta(0)
    """How long they are kept where no setting says it."""
    which: Q | None = None
    """Which rows of the table these are, where it has others."""
    with_it: Sequence[type[Model]] = ()
    """Tables whose rows go with them."""
    is_indexed: bool = False
    """Whether an index of `time` alone finds the oldest; without one the table is read in the order of its key."""
    grows_with_key: bool = False
    """Whether later keys have later times, so that reading can stop at rows that are young."""
    batch: int = BATCH
    """Rows that one transaction removes: fewer where much goes with each."""
    window: int = 20_000
    """Rows that one statement reads where they are read in the order of their keys; only some of them are old."""
    removable: Callable[[QuerySet[Any], datetime], QuerySet[Any]] = lambda rows, now: rows
    """Leaves out rows that something refers to that is kept."""
    remove: Callable[[QuerySet[Any]], object] = lambda rows: rows.delete()
    """Removes rows, with what belongs to them; called in a transaction."""

    @property
    def kept_for(self) -> timedelta | None:
        """How long the rows are kept; None for ever."""
        length: timedelta = getattr(settings, self.setting) if self.setting else self.length
        return length if length > timedelta(0) else None

    @property
    def written(self) -> str | None:
        """The column that says when they were written, if one does."""
        return self.time if self.created == "" else self.created

    @property
    def rows(self) -> QuerySet[Any]:
        return _rows(self.model, self.which)

    def past(self, now: datetime) -> QuerySet[Any]:
        """Return the rows that are older than they are kept; whether each may go, `removable` tells."""
        return self.rows.none() if self.kept_for is None else self.rows.filter(**{f"{self.time}__lt": self.since(now)})

    def since(self, now: datetime) -> datetime:
        """Return the time from which on rows are kept; only for those that are not kept for ever."""
        return now - (self.kept_for or timedelta(0))

    def next_batch(self, cursor: Any, now: datetime) -> Batch:
        """Return old rows behind the cursor; it reads a bounded number of rows, so that the caller can stop."""
        if self.kept_for is None:
            return Batch(keys=(), cursors=(), cursor=None, is_last=True)
        return self._by_time(cursor, now) if self.is_indexed else self._by_key(cursor, now)

    def _by_time(self, cursor: Any, now: datetime) -> Batch:
        rows = self.past(now)
        if cursor is not None:
            moment, key = datetime.fromisoformat(cursor[0]), self._key(cursor[1])
            # The first condition bounds the index; the other alone would read all rows before the cursor again.
            rows = rows.filter(**{f"{self.time}__gte": moment}).filter(
                Q(**{f"{self.time}__gt": moment}) | Q(**{self.time: moment, "pk__gt": key})
            )
        found = list(rows.order_by(self.time, "pk").values_list(self.time, "pk")[: self.batch])
        keys, cursors = [key for _, key in found], [[moment.isoformat(), str(key)] for moment, key in found]
        end = cursors[-1] if cursors else cursor
        return Batch(keys=keys, cursors=cursors, cursor=end, is_last=len(found) < self.batch)

    def _by_key(self, cursor: Any, now: datetime) -> Batch:
        rows = self.rows if cursor is None else self.rows.filter(pk__gt=self._key(cursor))
        end = list(rows.order_by("pk").values_list("pk", flat=True)[self.window - 1 : self.window])
        window = rows.filter(pk__lte=end[0]) if end else rows
        old = window.filter(**{f"{self.time}__lt": self.since(now)})
        keys = list(old.order_by("pk").values_list("pk", flat=True)[: self.batch])
        cursors = list(map(str, keys))
        if len(keys) == self.batch:
            return Batch(keys=keys, cursors=cursors, cursor=cursors[-1], is_last=False)
        # Times that lie ahead were written by a wrong clock, and say nothing about the keys behind them.
        is_young = self.grows_with_key and not keys and window.filter(**{f"{self.time}__lte": now + AHEAD}).exists()
        behind = str(end[0]) if end else cursor
        return Batch(keys=keys, cursors=cursors, cursor=behind, is_last=not end or is_young)

    def _key(self, text: str) -> Any:
        return self.model._meta.pk.to_python(text)


def _rows(model: type[Model], which: Q | None) -> QuerySet[Any]:
    rows: QuerySet[Any] = model._default_manager.order_by()
    return rows if which is None else rows.filter(which)


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """Tables whose rows are not removed by their age."""

    name: str
    """What they are, in the plural, for people."""
    models: Sequence[type[Model]]
    reason: str
    """What bounds them, or who removes their rows."""
    which: Q | None = None
    """Which rows of the first table these are, where others go by their age."""
    created: str | None = None
    """The column that says when those of the first table were written, or what they belong to, if one does."""

    @property
    def rows(self) -> QuerySet[Any]:
        """Return those of the first table."""
        return _rows(self.models[0], self.which)


kinds: list[Retained] = []
"""In the order in which they are pruned: what refers to other rows comes before them."""
bounded: list[Bounded] = []


def retain(*declared: Retained) -> None:
    """Have `prune` remove rows of these kinds; an app's `ready` calls it."""
    add_once(kinds, *declared)


def stays(*declared: Bounded) -> None:
    """Say why rows of these tables are not removed by their age; an app's `ready` calls it."""
    add_once(bounded, *declared)
