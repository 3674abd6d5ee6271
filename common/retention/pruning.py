"""Remove what is past its time: in rounds through all kinds, in turns of some seconds, in batches of some rows.

A round goes through each kind once. A kind has a cursor, so that the next turn goes on behind the rows that it has
looked at and left, and the kinds take turns, so that none waits for the end of a large one.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import psycopg
from django.db import connection, transaction
from django.utils import timezone

from common.locks import held
from common.models import PrunedKind, Pruning
from common.retention.clock import earlier_now, trusted_now
from common.retention.declaration import Batch, Retained, kinds
from common.time_slices import slice_of

logger = logging.getLogger(__name__)

LOCK = "prune"
_TURN_S = 5.0
_LOCK_WAIT = "5s"
_MOST_FAILURES = 20
"""Rows of a kind that fail in one pass before it is left for the next round."""
_IN_USE = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)

Until = Callable[[], bool]


def work(turn: int | None, until: Until, on_batch: Callable[[], object] = lambda: None) -> int | None:
    """Go on with the round, or begin one; return the number of the turn that is to follow, None if none is.

    Without a number, a turn that is announced already is replaced; a number that is not the current one was replaced
    or has been done. So however many begin, there is one that follows.
    """
    with held(LOCK) as is_alone:
        if not is_alone:
            return None
        state = Pruning.current()
        if turn is not None and turn != state.turn:
            return None
        is_done = prune(until, on_batch=on_batch)
        following = state.next_turn()
        return None if is_done else following


def prune(
    until: Until = lambda: False, *, now: datetime | None = None, on_batch: Callable[[], object] = lambda: None
) -> bool:
    """Remove what is older than it is kept; return False if `until()` became true before all was seen.

    One batch is looked at in any case, and another call goes on behind it. Where the clock is not to be
    trusted nothing is removed.
    """
    now = trusted_now(now)
    if now is None:
        return True
    state, left = _round()
    while left:
        row, kind = min(left, key=lambda pair: pair[0].turns)
        removed, is_finished = _prune(kind, row, _either(until, slice_of(_TURN_S)), now, on_batch)
        if removed:
            logger.info("Pruned %d %s.", removed, kind.name)
        if is_finished:
            row.turns, row.round = 0, state.round
            left.remove((row, kind))
        else:
            row.turns += 1
        row.save(update_fields=["turns", "round"])
        if until():
            break
    if not left:
        Pruning.objects.update(ended_at=timezone.now())
    return not left


def begin_anew() -> None:
    """Have the next turn begin a round, with the first rows of every kind, wherever the last one is."""
    state = Pruning.current()
    state.round += 1
    state.save(update_fields=["round"])
    PrunedKind.objects.update(cursor=None, seen=0, removed=0, failures=0)


def prune_kind(kind: Retained, until: Until = lambda: False, now: datetime | None = None) -> tuple[int, bool]:
    """Remove a kind's old rows, from where it was left; return how many, and whether its last row was seen."""
    row, _ = PrunedKind.objects.get_or_create(pk=kind.name)
    return _prune(kind, row, until, now or earlier_now(), lambda: None)


def _round() -> tuple[Pruning, list[tuple[PrunedKind, Retained]]]:
    """Return the kinds that the round has not gone through; if it has gone through all, of the next one."""
    state = Pruning.current()
    rows = [(PrunedKind.objects.get_or_create(pk=kind.name)[0], kind) for kind in kinds]
    left = [(row, kind) for row, kind in rows if row.round != state.round]
    if left:
        return state, left
    state.round += 1
    state.save(update_fields=["round"])
    return state, rows


def _prune(
    kind: Retained, row: PrunedKind, until: Until, now: datetime, on_batch: Callable[[], object]
) -> tuple[int, bool]:
    """Remove a kind's old rows; what cannot be removed is stored and passed over, and the rest goes."""
    removed, most_failures = 0, (row.failures // _MOST_FAILURES + 1) * _MOST_FAILURES
    while True:
        try:
            batch = kind.next_batch(row.cursor, now)
        except Exception as error:
            logger.exception("The age of %s could not be read.", kind.name)
            row.failed(error)
            return removed, True
        count, is_whole = _remove(kind, row, batch, now, most_failures, until)
        removed += count
        on_batch()
        if batch.is_last and is_whole:
            row.ended()
            return removed, True
        if row.failures >= most_failures:
            logger.error("Too many %s cannot be removed; the others wait for the next round.", kind.name)
            return removed, True
        if until():
            return removed, False


def _remove(
    kind: Retained, row: PrunedKind, batch: Batch, now: datetime, most_failures: int, until: Until
) -> tuple[int, bool]:
    """Remove the rows of a batch that may go, and store the cursor with that; return how many went.

    Return also whether the batch was looked at to its end: the rows of one that cannot go together go one by one,
    each after a wait of _LOCK_WAIT at most, until `until()` is true.
    """
    before = connection.connection
    try:
        with transaction.atomic():
            count = _remove_keys(kind, batch.keys, now)
            row.looked_at(len(batch.keys), count, batch.cursor)
            return count, True
    except Exception as error:  # of a table's own rules, or of another project's rows that refer to it
        if connection.connection is not before:
            raise  # it was lost, and the lock with it
        row.refresh_from_db()
        if not isinstance(error.__cause__, _IN_USE):
            logger.exception("Some %s could not be removed together.", kind.name)
    # One row that cannot go keeps no others, and one that somebody uses waits for the next round.
    count = seen = 0
    for seen, key in enumerate(batch.keys, start=1):
        count += _remove_one(kind, row, key, now)
        if row.failures >= most_failures:
            break
        if seen < len(batch.keys) and until():
            row.looked_at(seen, count, batch.cursors[seen - 1])
            return count, False
    row.looked_at(len(batch.keys), count, batch.cursor)
    return count, True


def _remove_one(kind: Retained, row: PrunedKind, key: Any, now: datetime) -> int:
    try:
        with transaction.atomic():
            return _remove_keys(kind, [key], now)
    except Exception as error:
        if not isinstance(error.__cause__, _IN_USE):
            row.failed(error)
        return 0


def _remove_keys(kind: Retained, keys: Sequence[Any], now: datetime) -> int:
    if not keys:
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_LOCK_WAIT])
    # Of a row that was changed since it was found, its new time counts: that is what the lock waits to read.
    rows = kind.removable(kind.past(now).filter(pk__in=keys), now).order_by("pk")
    locked = list(rows.values_list("pk", flat=True).select_for_update(skip_locked=True))
    if locked:
        kind.remove(kind.rows.filter(pk__in=locked))
    return len(locked)


def _either(first: Until, second: Until) -> Until:
    return lambda: first() or second()
