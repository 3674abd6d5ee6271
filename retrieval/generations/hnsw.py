"""Build the partial HNSW and GIN indexes of each generation: the only schema that is created at run time.

An index is built under another name and takes its own when it stands, so that searches keep a former one meanwhile.
What a build that died has left says how far it was: an index under that name that is valid takes its place, one that is
not is dropped and built anew.
"""

import logging
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Q
from django.utils import timezone
from psycopg.errors import DeadlockDetected, DiskFull, LockNotAvailable

from common.clocks import is_past
from common.locks import held, is_held
from retrieval.models import Chunk, Generation, Index

logger = logging.getLogger(__name__)

M, EF_CONSTRUCTION = 16, 200
"""pgvector's defaults (16, 64, and 40 for ef_search) missed whole clusters of vectors; with these values and
the ef_search of retrieval.search.ranking the recall with 100,000 chunks is 0.99 to 1. An M of 24 has a higher recall
with a million chunks, and takes twice as long to build. See `make bench`."""
NEXT, FORMER = "_next", "_former"
"""Follow an index's name while the one that replaces it is built, and once it is replaced."""
_TRIES = 3
_REST = timedelta(minutes=10)
"""After a build that failed, on a full disk say. One whose connection died, or that PostgreSQL ended to resolve
deadlocks, is taken up with the next sweep."""
DEADLOCKED = "The HNSW was not built: a deadlock ended it each time, with an ANALYZE by hand, say. It begins anew."
_DROP_LOCK = "drop indexes of chunks"
DROP_WAIT_S = 5.0
_NAME = re.compile(r"chunk_(?:hnsw|gin)_(\d+)(_next|_former)?")


def hnsw_name(generation_id: int) -> str:
    return f"chunk_hnsw_{int(generation_id)}"


def gin_name(generation_id: int) -> str:
    return f"chunk_gin_{int(generation_id)}"


def all_names(generation_id: int) -> list[str]:
    names = (hnsw_name(generation_id), gin_name(generation_id))
    return [f"{name}{ending}" for name in names for ending in ("", NEXT, FORMER)]


@dataclass(frozen=True, kw_only=True)
class StoredIndexes:
    """The indexes of one generation that the database has, by name, each with whether it is complete."""

    valid: dict[str, bool]

    def is_complete(self, generation_id: int) -> bool:
        """Return whether the indexes stand, and nothing is left of a build."""
        names = {hnsw_name(generation_id), gin_name(generation_id)}
        return set(self.valid) == names and all(self.valid.values())


def stored_indexes() -> dict[int, StoredIndexes]:
    """Return the indexes that the database has, by generation."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, x.indisvalid FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid "
            "WHERE x.indrelid = %s::regclass",
            [Chunk._meta.db_table],
        )
        rows = cursor.fetchall()
    found: dict[int, StoredIndexes] = {}
    for name, is_valid in rows:
        if match := _NAME.fullmatch(name):
            found.setdefault(int(match[1]), StoredIndexes(valid={})).valid[name] = is_valid
    return found


def build_hnsw(generation_id: int, *, is_rebuild: bool = False) -> bool:
    """Build the generation's indexes without blocking readers or writers; do nothing if they stand.

    Return False if another worker is building them.

    `is_rebuild` replaces them: after many documents were deleted, say. It is kept as wanted until it is done, whatever
    ends this worker. Do not call it in a transaction: PostgreSQL refuses CREATE INDEX CONCURRENTLY within one.
    """
    if is_rebuild:
        Generation.objects.filter(pk=generation_id).update(is_rebuild_wanted=True)
    with held(hnsw_name(generation_id)) as is_mine:
        if not is_mine:
            return False
        generation = Generation.objects.get(id=generation_id)
        try:
            _build_both(generation, is_rebuild=generation.is_rebuild_wanted)
        except DatabaseError as error:
            said = DEADLOCKED if _is_deadlock(error) else f"The HNSW was not built: {error}"[:1000]
            Generation.objects.filter(id=generation_id).update(error=said, worked_at=timezone.now())
            raise
        # A rebuild that was asked for while missing indexes were built is still to come.
        replaced = {"is_rebuild_wanted": False} if generation.is_rebuild_wanted else {}
        Generation.objects.filter(id=generation_id).update(has_hnsw=True, error="", **replaced)
    return True


def _build_both(generation: Generation, *, is_rebuild: bool) -> None:
    methods = {
        # Without a pending list, which each search would have to scan.
        gin_name(generation.pk): "gin (lexemes) WITH (fastupdate = off)",
        # Half precision halves the size, and allows up to 4,000 dimensions.
        hnsw_name(generation.pk): f"hnsw ((embedding::halfvec({generation.dimension})) halfvec_cosine_ops) "
        f"WITH (m = {M}, ef_construction = {EF_CONSTRUCTION})",
    }
    with connection.cursor() as cursor:
        _raise_memory_limit(cursor, _graph_bytes(generation))
        try:
            for name, method in methods.items():
                definition = f"USING {method} WHERE generation_id = {int(generation.pk)}"
                _again_after_deadlock(name, partial(_replace, cursor, name, definition, is_rebuild=is_rebuild))
        finally:
            with suppress(DatabaseError):  # a connection that was lost has nothing to reset
                cursor.execute("RESET maintenance_work_mem")


def generations_to_index() -> list[int]:
    """Return the generations whose indexes are to be built: nobody is at it, and they are missing or to be replaced.

    One whose build failed rests for some minutes; a deadlock is no failure of its own, and has nothing to wait for.
    """
    half_done = [pk for pk, indexes in stored_indexes().items() if not indexes.is_complete(pk)]
    large = Index.objects.filter(chunk_count__gte=settings.FABRA_HNSW_WORTH_IT, generation__has_hnsw=False)
    waiting = Generation.objects.filter(
        Q(pk__in=half_done) | Q(pk__in=large.values("generation")) | Q(is_rebuild_wanted=True)
    )
    waiting = waiting.exclude(state=Generation.State.DROPPING)
    waiting = waiting.filter(Q(error__in=["", DEADLOCKED]) | Q(worked_at=None) | is_past("worked_at", since=_REST))
    return [pk for pk in waiting.order_by("pk").values_list("pk", flat=True) if not is_held(hnsw_name(pk))]


def drop_indexes(generation_id: int, wait_s: float = DROP_WAIT_S) -> bool:
    """Drop the generation's indexes, and what a build of them has left; return False if some stay.

    PostgreSQL waits for every transaction that reads the table, of a backup say: `wait_s` limits that.
    """
    with held(_DROP_LOCK) as is_mine, connection.cursor() as cursor:
        if not is_mine:
            return False
        cursor.execute(f"SET lock_timeout = {int(wait_s * 1000)}")
        try:
            _drop(cursor, generation_id)
        except OperationalError as error:
            if not isinstance(error.__cause__, (LockNotAvailable, DeadlockDetected)):
                raise
            return False
        finally:
            with suppress(DatabaseError):  # a connection that was lost has nothing to reset
                cursor.execute("RESET lock_timeout")
    return True


def orphans() -> list[int]:
    """Return the generations that are gone and have indexes: one was built meanwhile, or could not be dropped then."""
    found = set(stored_indexes())
    found -= set(Generation.objects.filter(pk__in=found).values_list("pk", flat=True))
    return sorted(pk for pk in found if not is_held(hnsw_name(pk)))


def drop_orphans() -> None:
    """Drop the indexes of generations that are gone; call it in a thread, since it waits as long as a backup runs."""
    with held(_DROP_LOCK) as is_mine, connection.cursor() as cursor:
        for generation_id in orphans() if is_mine else ():
            _drop(cursor, generation_id)


def _drop(cursor: CursorWrapper, generation_id: int) -> None:
    for name in all_names(generation_id):
        cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def build_share(generation_id: int) -> float | None:
    """Return the share of the HNSW that has been built, from 0 to 1; None if no build is running."""
    names = [f"{gin_name(generation_id)}{NEXT}", f"{hnsw_name(generation_id)}{NEXT}"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(max(b.blocks_done::float8 / nullif(b.blocks_total, 0)) FILTER (WHERE c.relname = %s), 0) "
            "FROM pg_stat_progress_create_index b JOIN pg_class c ON c.oid = b.index_relid "
            "WHERE b.datid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND c.relname = ANY(%s) "
            "HAVING count(*) > 0",
            [names[1], names],
        )
        row = cursor.fetchone()
    return row[0] if row else None


def _graph_bytes(generation: Generation) -> int:
    return Chunk.objects.filter(generation=generation).count() * (2 * generation.dimension + 32 * M + 300)


def _raise_memory_limit(cursor: CursorWrapper, needed: int) -> None:
    """Raise maintenance_work_mem so that the graph fits in memory: on disk the build takes many times as long.

    The limit is the larger of the configured value and shared_buffers, which indicates the size of the server.
    """
    cursor.execute(
        """
        SELECT set_config('maintenance_work_mem', greatest(
            own, least(%s / 1024, pg_size_bytes(current_setting('shared_buffers')) / 1024)
        ) || 'kB', false)
        FROM (SELECT pg_size_bytes(current_setting('maintenance_work_mem')) / 1024 AS own) settings
        """,
        [needed],
    )


def _again_after_deadlock(name: str, build: Callable[[], None]) -> None:
    """Build, and begin anew if PostgreSQL ended the build to resolve a deadlock.

    An ANALYZE or VACUUM by hand waits for the build's lock on the table, and the build for the snapshot of that
    command; whichever waits longer than deadlock_timeout first is ended.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            return build()
        except OperationalError as error:
            if attempt == _TRIES or not _is_deadlock(error):
                raise
            logger.warning("The build of %s ended in a deadlock, with an ANALYZE by hand, say; it begins anew.", name)


def _is_deadlock(error: DatabaseError) -> bool:
    return isinstance(error.__cause__, DeadlockDetected)


def _replace(cursor: CursorWrapper, name: str, definition: str, *, is_rebuild: bool) -> None:
    """Have a complete index of this name, after whatever an earlier build left; the former one serves until then."""
    valid = _validity(cursor, name)
    if valid.get(f"{name}{FORMER}") is not None:
        cursor.execute(f"DROP INDEX CONCURRENTLY {name}{FORMER}")
    is_next_complete = valid.get(f"{name}{NEXT}")
    if is_next_complete is None and valid.get(name) and not is_rebuild:
        return
    if not is_next_complete:
        _create(cursor, f"{name}{NEXT}", definition)
    # Renaming locks no search and no change of a document.
    with transaction.atomic():
        if name in valid:
            cursor.execute(f"ALTER INDEX {name} RENAME TO {name}{FORMER}")
        cursor.execute(f"ALTER INDEX {name}{NEXT} RENAME TO {name}")
    if name in valid:
        cursor.execute(f"DROP INDEX CONCURRENTLY {name}{FORMER}")


def _validity(cursor: CursorWrapper, name: str) -> dict[str, bool]:
    cursor.execute(
        "SELECT c.relname, x.indisvalid FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid "
        "WHERE x.indrelid = %s::regclass AND c.relname = ANY(%s)",
        [Chunk._meta.db_table, [name, f"{name}{NEXT}", f"{name}{FORMER}"]],
    )
    return dict(cursor.fetchall())


def _create(cursor: CursorWrapper, name: str, definition: str) -> None:
    drop = f"DROP INDEX CONCURRENTLY IF EXISTS {name}"
    statement = f"CREATE INDEX CONCURRENTLY {name} ON {Chunk._meta.db_table} {definition}"
    cursor.execute(drop)  # left over by an interrupted build
    try:
        try:
            cursor.execute(statement)
        except OperationalError as error:
            if not isinstance(error.__cause__, DiskFull):
                raise
            # A parallel build shares the graph in /dev/shm, which is small in many containers; one process needs none.
            cursor.execute(drop)
            cursor.execute("SET max_parallel_maintenance_workers = 0")
            try:
                cursor.execute(statement)
            finally:
                cursor.execute("RESET max_parallel_maintenance_workers")
    except DatabaseError:
        with suppress(DatabaseError):  # half an index only takes space, and delays every change
            cursor.execute(drop)
        raise
