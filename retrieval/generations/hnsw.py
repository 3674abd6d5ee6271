"""The partial HNSW and GIN of each generation: the one piece of schema that is made at run time."""

from django.conf import settings
from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper
from psycopg.errors import DiskFull

from common.locks import held
from retrieval.models import Chunk, Generation, Index

WORTH_IT = 2000
"""Below this many chunks an exact scan is as fast, and exact."""
M, EF_CONSTRUCTION = 16, 200
"""pgvector's defaults (16, 64, and 40 for ef_search) lost whole neighbourhoods of clustered vectors; with these and
the ef_search of retrieval.search.ranking the recall of 100,000 is 0.99 to 1. An M of 24 finds more of a million, and
takes twice as long to build. See `make bench`."""


def hnsw_name(generation_id: int) -> str:
    return f"chunk_hnsw_{int(generation_id)}"


def gin_name(generation_id: int) -> str:
    return f"chunk_gin_{int(generation_id)}"


def build_hnsw(generation_id: int) -> None:
    """Build the generation's indexes beside readers and writers; does nothing where they stand.

    Not within a transaction: PostgreSQL builds beside writers only outside of one.
    """
    generation = Generation.objects.get(id=generation_id)
    if generation.has_hnsw:
        return
    hnsw, gin = hnsw_name(generation_id), gin_name(generation_id)
    indexes = {
        # No pending list: each search would read through it.
        gin: "gin (lexemes) WITH (fastupdate = off)",
        # In half precision: half the size, and up to 4,000 dimensions.
        hnsw: f"hnsw ((embedding::halfvec({generation.dimension})) halfvec_cosine_ops) "
        f"WITH (m = {M}, ef_construction = {EF_CONSTRUCTION})",
    }
    with held(hnsw) as is_mine, connection.cursor() as cursor:
        if not is_mine:
            return  # another worker builds them
        try:
            _take_memory(cursor, _graph_bytes(generation))
            for name, method in indexes.items():
                _create(cursor, name, f"USING {method} WHERE generation_id = {int(generation_id)}")
        finally:
            cursor.execute("RESET maintenance_work_mem")
    Generation.objects.filter(id=generation_id).update(has_hnsw=True)


def unbuilt() -> list[int]:
    """Return the generations that serve searches, are worth the indexes, and whose indexes nobody builds."""
    waiting = Index.objects.filter(chunk_count__gte=settings.FABRA_HNSW_WORTH_IT, generation__has_hnsw=False)
    return [pk for pk in waiting.values_list("generation_id", flat=True) if pk and build_share(pk) is None]


def build_share(generation_id: int) -> float | None:
    """Return how much of the HNSW has been built, from 0 to 1; None if nobody is at it."""
    names = [gin_name(generation_id), hnsw_name(generation_id)]
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


def _take_memory(cursor: CursorWrapper, needed: int) -> None:
    """Have the graph built in memory, where it fits: on disk the build takes many times as long.

    What a server gives to its buffers tells how large it is; more than that is taken only if it allows for more.
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


def _create(cursor: CursorWrapper, name: str, definition: str) -> None:
    statement = f"CREATE INDEX CONCURRENTLY {name} ON retrieval_chunk {definition}"
    cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # what an interrupted build left
    try:
        cursor.execute(statement)
    except OperationalError as error:
        if not isinstance(error.__cause__, DiskFull):
            raise
        # Several processes share the graph in /dev/shm, which many containers keep small; one needs none of it.
        cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        cursor.execute("SET max_parallel_maintenance_workers = 0")
        try:
            cursor.execute(statement)
        finally:
            cursor.execute("RESET max_parallel_maintenance_workers")
