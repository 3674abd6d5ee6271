"""The partial HNSW index of each generation: the one piece of schema that is made at run time."""

from django.db import connection

from retrieval.models import Generation

WORTH_IT = 2000
"""Below this many chunks an exact scan is as fast, and exact."""


def hnsw_name(generation_id: int) -> str:
    return f"chunk_hnsw_{int(generation_id)}"


def build_hnsw(generation_id: int) -> None:
    """Build the generation's index beside readers and writers; does nothing where it stands.

    Not within a transaction: PostgreSQL builds beside writers only outside of one.
    """
    generation = Generation.objects.get(id=generation_id)
    if generation.has_hnsw:
        return
    name, dimension = hnsw_name(generation_id), int(generation.dimension)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name])
        if not cursor.fetchone()[0]:
            return  # another worker builds it
        try:
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # what an interrupted build left
            cursor.execute(
                f"CREATE INDEX CONCURRENTLY {name} ON retrieval_chunk "
                f"USING hnsw ((embedding::vector({dimension})) vector_cosine_ops) "
                f"WHERE generation_id = {int(generation_id)}"
            )
        finally:
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])
    Generation.objects.filter(id=generation_id).update(has_hnsw=True)
