"""Build the partial HNSW and GIN indexes of each generation: the only schema that is created at run time."""

from django.conf import settings
from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper
from psycopg.errors import DiskFull

from common.locks import held
from retrieval.models import Chunk, Generation, Index

M, EF_CONSTRUCTION = 16, 200
"""pgvector's defaults (16, 64, and 40 for ef_search) missed whole clusters of vectors; with these values and
the ef_search of retrieval.search.ranking the recall with 100,000 chunks is 0.99 to 1. An M of 24 has a higher recall
with a million chunks, and takes twice as long to build. See `make bench`."""


def hnsw_name(generation_id: int) -> str:
    return f"chunk_hnsw_{int(generation_id)}"


def gin_name(generation_id: int) -> str:
    return f"chunk_gin_{int(generation_id)}"


def build_hnsw(generation_id: int) -> None:
    """Build the generation's indexes without blocking readers or writers; do nothing if they exist.

    Do not call it in a transaction: PostgreSQL refuses CREATE INDEX CONCURRENTLY within one.
    """
    generation = Generation.objects.get(id=generation_id)
    if generation.has_hnsw:
        return
    hnsw, gin = hnsw_name(generation_id), gin_name(generation_id)
    indexes = {
        # Without a pending list, which each search would have to scan.
        gin: "gin (lexemes) WITH (fastupdate = off)",
        # Half precision halves the size, and allows up to 4,000 dimensions.
        hnsw: f"hnsw ((embedding::halfvec({generation.dimension})) halfvec_cosine_ops) "
        f"WITH (m = {M}, ef_construction = {EF_CONSTRUCTION})",
    }
    with held(hnsw) as is_mine, connection.cursor() as cursor:
        if not is_mine:
            return  # another worker is building them
        try:
            _raise_memory_limit(cursor, _graph_bytes(generation))
            for name, method in indexes.items():
                _create(cursor, name, f"USING {method} WHERE generation_id = {int(generation_id)}")
        finally:
            cursor.execute("RESET maintenance_work_mem")
    Generation.objects.filter(id=generation_id).update(has_hnsw=True)


def generations_to_index() -> list[int]:
    """Return the serving generations that are large enough, whose indexes are missing and not being built."""
    waiting = Index.objects.filter(chunk_count__gte=settings.FABRA_HNSW_WORTH_IT, generation__has_hnsw=False)
    return [pk for pk in waiting.values_list("generation_id", flat=True) if pk and build_share(pk) is None]


def build_share(generation_id: int) -> float | None:
    """Return the share of the HNSW that has been built, from 0 to 1; None if no build is running."""
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


def _create(cursor: CursorWrapper, name: str, definition: str) -> None:
    statement = f"CREATE INDEX CONCURRENTLY {name} ON retrieval_chunk {definition}"
    cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # left over by an interrupted build
    try:
        cursor.execute(statement)
    except OperationalError as error:
        if not isinstance(error.__cause__, DiskFull):
            raise
        # A parallel build shares the graph in /dev/shm, which is small in many containers; a single process needs none.
        cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        cursor.execute("SET max_parallel_maintenance_workers = 0")
        try:
            cursor.execute(statement)
        finally:
            cursor.execute("RESET max_parallel_maintenance_workers")
