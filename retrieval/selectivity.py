"""How many chunks a filter leaves, to choose between measuring all of them and the approximate indexes."""

import time

from django.db import connection

from features.text import to_json
from retrieval.filters import Conditions

FEW = 5000
"""Up to so many chunks an exact scan is fast, and its recall whole."""
_SECONDS = 60
_MOST_ENTRIES = 1000

_known: dict[str, tuple[float, bool]] = {}


def is_selective(generation_id: int, where: Conditions) -> bool:
    """Return whether at most FEW chunks fulfil the conditions.

    The answer is kept for a minute: an old one costs time or, where it left a result short, an exact search after
    it, never a hit.
    """
    key = f"{connection.alias} {generation_id} {where.sql} {to_json(where.parameters, 'filters')}"
    now = time.monotonic()
    known = _known.get(key)
    if known and known[0] > now:
        return known[1]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) <= %(few)s FROM (SELECT FROM retrieval_chunk c "
            f"WHERE c.generation_id = {int(generation_id)} {where.sql} LIMIT %(few)s + 1) matching",
            {**where.parameters, "few": FEW},
        )
        (answer,) = cursor.fetchone()
    if len(_known) >= _MOST_ENTRIES:
        _known.clear()
    _known[key] = (now + _SECONDS, answer)
    return bool(answer)
