"""Decide between an exact scan and the approximate indexes, by how many chunks a filter leaves."""

import hashlib

from django.core.cache import cache
from django.db import connection

from common.validation import to_json
from retrieval.search.filters import Conditions

EXACT_SCAN_FACTOR = 15
"""An exact scan is faster, and has full recall, up to this many times the square root of the number of all chunks.

Its cost grows with the number of chunks that the filter leaves; the cost of the HNSW grows with how many chunks it must
skip for each of them. With a million chunks the HNSW is faster from 15,000 left, with 100,000 from 4,700.
"""
_SECONDS = 60


def is_selective(generation_id: int, chunk_count: int, where: Conditions) -> bool:
    """Return whether so few of the generation's chunks meet the conditions that an exact scan is faster.

    The answer is cached for a minute. An outdated one costs time or, where the result is too short, an additional exact
    search; it never loses a hit.
    """
    if not where.sql:
        return chunk_count <= EXACT_SCAN_FACTOR * chunk_count**0.5
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
            {**where.parameters, "few": int(EXACT_SCAN_FACTOR * chunk_count**0.5)},
        )
        (answer,) = cursor.fetchone()
    return bool(answer)
