"""Decide between an exact scan and the approximate indexes, by how many chunks a filter leaves."""

import hashlib

from django.conf import settings
from django.core.cache import cache
from django.db import connection

from common.validation import to_json
from retrieval.search.filters import Conditions

_SECONDS = 60


def is_selective(generation_id: int, chunk_count: int, where: Conditions) -> bool:
    """Return whether so few of the generation's chunks meet the conditions that an exact scan is faster.

    The answer is cached for a minute. An outdated one costs time or, where the result is too short, an additional exact
    search; it never loses a hit. The cost of an exact scan grows with the number of chunks that the filter leaves; the
    cost of the HNSW grows with how many chunks it must skip for each of them.
    """
    few = int(settings.FABRA_EXACT_SCAN_FACTOR * chunk_count**0.5)
    if not where.sql:
        return chunk_count <= few
    conditions = f"{few} {generation_id} {where.sql} {to_json(where.parameters, 'filters')}"
    key = f"selective:{hashlib.sha256(conditions.encode()).hexdigest()}"
    known = cache.get(key)
    if known is None:
        known = _has_at_most(few, generation_id, where)
        cache.set(key, known, _SECONDS)
    return bool(known)


def _has_at_most(few: int, generation_id: int, where: Conditions) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) <= %(few)s FROM (SELECT FROM retrieval_chunk c "
            f"WHERE c.generation_id = {int(generation_id)} {where.sql} LIMIT %(few)s + 1) matching",
            {**where.parameters, "few": few},
        )
        (answer,) = cursor.fetchone()
    return bool(answer)
