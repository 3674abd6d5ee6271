"""How many chunks a filter leaves, to choose between measuring all of them and the approximate indexes."""

import time

from django.conf import settings
from django.db import connection

from common.validation import to_json
from retrieval.search.filters import Conditions

_SECONDS = 60
_MOST_ENTRIES = 1000

_known: dict[str, tuple[float, bool]] = {}


def is_selective(generation_id: int, chunk_count: int, where: Conditions) -> bool:
    """Return whether so few of the generation's chunks fulfil the conditions that all of them are measured.

    The answer is kept for a minute: an old one costs time or, where it left a result short, an exact search after
    it, never a hit. The work of an exact scan grows with the chunks that are left, that of walking the HNSW with how
    many must be passed over for each of them.
    """
    few = int(settings.FABRA_EXACT_SCAN_FACTOR * chunk_count**0.5)
    key = f"{connection.alias} {few} {generation_id} {where.sql} {to_json(where.parameters, 'filters')}"
    now = time.monotonic()
    known = _known.get(key)
    if known and known[0] > now:
        return known[1]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) <= %(few)s FROM (SELECT FROM retrieval_chunk c "
            f"WHERE c.generation_id = {int(generation_id)} {where.sql} LIMIT %(few)s + 1) matching",
            {**where.parameters, "few": few},
        )
        (answer,) = cursor.fetchone()
    if len(_known) >= _MOST_ENTRIES:
        _known.clear()
    _known[key] = (now + _SECONDS, answer)
    return bool(answer)
