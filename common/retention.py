"""How long rows are kept: each app says it of its tables, and one task removes what is past it, a batch at a time."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

logger = logging.getLogger(__name__)

BATCH = 500
"""Rows that one transaction looks at: small enough that nobody waits for its locks."""


@dataclass(frozen=True, kw_only=True)
class Retained:
    """Rows of one table that go when they are old."""

    name: str
    """What they are, in the plural, for people."""
    model: type[Model]
    setting: str
    """The setting with the timedelta that they are kept for; one that is not positive keeps them for ever."""
    time: str
    """The column by which they grow old."""
    with_it: Sequence[type[Model]] = ()
    """Tables whose rows go with them."""
    is_indexed: bool = False
    """Whether an index of `time` alone finds the oldest; without one the table is read in the order of its key."""
    removable: Callable[[QuerySet[Any]], QuerySet[Any]] = lambda rows: rows
    """Leaves out rows that something refers to that is kept."""
    remove: Callable[[QuerySet[Any]], object] = lambda rows: rows.delete()
    """Removes rows, with what belongs to them; called in a transaction."""

    @property
    def kept_for(self) -> timedelta | None:
        """How long the rows are kept; None for ever."""
        length: timedelta = getattr(settings, self.setting)
        return length if length > timedelta(0) else None

    def past(self, now: datetime) -> QuerySet[Any]:
        """Return the rows that are older than they are kept; whether each may go, `removable` tells."""
        rows: QuerySet[Any] = self.model._default_manager.order_by()
        return rows.none() if self.kept_for is None else rows.filter(**{f"{self.time}__lt": now - self.kept_for})


kinds: list[Retained] = []
"""In the order in which they are pruned: what refers to other rows comes before them."""


def retain(*declared: Retained) -> None:
    """Have `prune` remove rows of these kinds; an app's `ready` calls it."""
    kinds.extend(declared)


def prune(until: Callable[[], bool] = lambda: False) -> bool:
    """Remove what is older than it is kept; return False if `until()` became true before all was seen.

    Another call goes on where this one ended, since what is removed is gone.
    """
    for kind in kinds:
        removed, is_finished = prune_kind(kind, until)
        if removed:
            logger.info("Pruned %d %s.", removed, kind.name)
        if not is_finished:
            return False
    return True


def prune_kind(kind: Retained, until: Callable[[], bool] = lambda: False) -> tuple[int, bool]:
    """Remove a kind's old rows; return how many, and whether all were seen."""
    past, count = kind.past(timezone.now()), 0
    order = (kind.time, "pk") if kind.is_indexed else ("pk",)
    after = Q()
    while not until():
        batch = list(past.filter(after).order_by(*order).values_list(*order)[:BATCH])
        if not batch:
            return count, True
        after = _after(order, batch[-1])
        with transaction.atomic():
            removable = kind.removable(kind.model._default_manager.filter(pk__in=[row[-1] for row in batch]))
            keys = list(removable.order_by("pk").values_list("pk", flat=True).select_for_update(skip_locked=True))
            if keys:
                kind.remove(kind.model._default_manager.filter(pk__in=keys))
        count += len(keys)
    return count, False


def _after(order: Sequence[str], row: Sequence[Any]) -> Q:
    if len(order) == 1:
        return Q(pk__gt=row[0])
    return Q(**{f"{order[0]}__gt": row[0]}) | Q(**{order[0]: row[0], "pk__gt": row[1]})


def slice_of(seconds: float) -> Callable[[], bool]:
    """Return a function that tells whether so much time has passed since now."""
    give_up_at = time.monotonic() + seconds
    return lambda: time.monotonic() > give_up_at
