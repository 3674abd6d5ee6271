"""How many chunks a filter leaves, to choose between measuring all of them and the approximate indexes."""

import hashlib

from django.core.cache import cache
from django.db import connection

from common.validation import to_json
from retrieval.search.filters import Conditions

FEW = 15
"""Up to so many times the square root of all chunks an exact scan is the faster one, and its recall is whole.

Its work grows with the chunks that are left, that of reading the HNSW with how many must be skipped for each of
them: a million chunks are worth the HNSW from 15,000, and 100,000 from 4,700.
"""
_SECONDS = 60


def is_selective(generation_id: int, chunk_count: int, where: Conditions) -> bool:
    """Return whether so few of the generation's chunks fulfil the conditions that all of them are measured.

    The answer is cached for a minute: an old one costs time or, where it left a result short, an exact search after
    it, never a hit.
    """
    if not where.sql:
        return chunk_count <= FEW * chunk_count**0.5
    conditions = f"{generation_id} {where.sql} {to_json(where.parameters, 'filters')}"
    key = f"selective:{hashlib.sha256(conditions.encode()).hexdigest()}"
    known = cache.get(key)
    if known is None:
        known = _count(generation_id, chunk_count, where)
        cache.set(key, known, _SECONDS)
    return bool(known)


def _count(generation_id: int, chunk_count: int, where: Conditions) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) <= %(few)s FROM (SELECT FROM retrieval_chunk c "
            f"WHERE c.generation_id = {int(generation_id)} {where.sql} LIMIT %(few)s + 1) matching",
            {**where.parameters, "few": int(FEW * chunk_count**0.5)},
        )
        (answer,) = cursor.fetchone()
    return bool(answer)
