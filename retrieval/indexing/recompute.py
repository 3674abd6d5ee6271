"""Compute the lexemes of stored chunks again, after the way they are computed has changed."""

import hashlib

from django.db import connection, transaction

from retrieval.search.lexemes import lexical_words

_BATCH = 1000

_CHUNKS = """
SELECT c.id, v.title, c.heading_path, c.text, c.content_hash
FROM retrieval_chunk c JOIN retrieval_documentversion v ON v.id = c.version_id
WHERE c.id > %s ORDER BY c.id LIMIT %s
"""
# Chunks are never changed otherwise, but deleted: those that are gone meanwhile are no rows here.
_UPDATE = """
UPDATE retrieval_chunk c SET lexemes = fabra_lexemes(i.language::regconfig, given.words)
FROM unnest(%s::bigint[], %s::text[]) AS given(id, words), retrieval_generation g, retrieval_index i
WHERE c.id = given.id AND g.id = c.generation_id AND i.id = g.index_id
    AND c.lexemes <> fabra_lexemes(i.language::regconfig, given.words)
RETURNING i.id
"""


def recompute_lexemes() -> int:
    """Compute the lexemes of every chunk again, in batches; return how many chunks were written.

    A chunk whose lexemes stay the same is not written. It can be stopped and run again. The counts of lexemes follow by
    their triggers; what was cached of an index is outdated with its version.
    """
    written, last = 0, 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(_CHUNKS, [last, _BATCH])
            rows = cursor.fetchall()
            if not rows:
                return written
            last = rows[-1][0]
            words = [lexical_words(_embedded_text(*row)) for _, *row in rows]
            with transaction.atomic():
                cursor.execute(_UPDATE, [[row[0] for row in rows], words])
                changed = [index_id for (index_id,) in cursor.fetchall()]
                cursor.execute(
                    "UPDATE retrieval_index SET version = version + 1 WHERE id = ANY(%s)", [sorted(set(changed))]
                )
            written += len(changed)


def _embedded_text(title: str, path: str, text: str, digest: str) -> str:
    """Return what was embedded, whose hash is known: title and headings as far as they were not cut, then the text.

    How far they were cut was decided by the tokens of a model, which is not at hand here; see chunking.embedded_text.
    """
    header = " > ".join(part for part in (title, path) if part)
    whole = f"{header}\n{text}" if header else text
    while header:
        for candidate in (f"{header}\n{text}", text):
            if hashlib.sha256(candidate.encode()).hexdigest() == digest:
                return candidate
        header = header[: len(header) * 3 // 4]
    return whole if hashlib.sha256(text.encode()).hexdigest() != digest else text
