"""Prepare text for the lexical leg's parser, and maintain the document frequencies that BM25 needs."""

import re
import unicodedata
from collections.abc import Callable, Sequence

from django.conf import settings
from django.contrib.postgres.search import SearchConfig, SearchVectorField
from django.db import connection, transaction
from django.db.models import Func, Value

from common.locks import lock_in_transaction, try_lock_in_transaction
from retrieval.search.compounds import split_compounds

_SCRIPTS_WITHOUT_SPACES = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_RUN = re.compile(f"[{_SCRIPTS_WITHOUT_SPACES}]+")
_PICTOGRAPHS = (range(0x2190, 0x2500), range(0x25A0, 0x2C00), range(0x1F000, 0x1FB00))
_DASHES = "\u2010\u2011\u2212"
_ZERO_WIDTH = "\u00ad\u200d\u2060\ufeff"
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)


class _Characters(dict[int, str | None]):
    """A table for str.translate that computes each character's replacement at its first use."""

    def __missing__(self, code: int) -> str | None:
        self[code] = found = _replacement(code)
        return found


def _replacement(code: int) -> str | None:
    character = chr(code)
    if character in _DASHES:  # before the pictographs, which the minus sign is among
        return "-"
    if any(code in block for block in _PICTOGRAPHS):
        return f" u{code:x} "
    if character in _ZERO_WIDTH or code in _VARIATION_SELECTORS:
        return None
    is_word_character = character.isascii() or unicodedata.category(character)[0] in "LMN"
    return character if is_word_character else " "


_CHARACTERS = _Characters()
_FETCHED_ROWS = 5000

COUNTS_FROM_CHUNKS = """
    SELECT lexeme, count(*) AS chunk_count, 0::bigint AS length
    FROM retrieval_chunk, unnest(tsvector_to_array(lexemes)) AS lexeme
    WHERE generation_id = %(generation)s GROUP BY lexeme
    UNION ALL
    SELECT '', count(*), coalesce(sum(length), 0) FROM retrieval_chunk WHERE generation_id = %(generation)s
"""
"""The counts as computed from the chunks themselves."""


def lexical_text(text: str) -> str:
    """Normalise the text so that PostgreSQL's parser splits it into the same words in every database.

    Which characters beyond ASCII are letters depends on the database's locale; in some locales a dash or a curly quote
    is a letter and joins the words around it. So characters that belong to no word become spaces, and characters that
    look the same get the same code points (Unicode's NFKC). Emoji become their code point as text. Chinese, Japanese,
    Thai and similar scripts have no spaces, so a run of letters would be one word that only an identical run matches;
    it is split into overlapping pairs, as Lucene's CJKBigramFilter does.
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text.translate(_CHARACTERS))
    return _RUN.sub(lambda run: f" {' '.join(_pairs(run.group()))} ", text)


def lexical_words(text: str) -> str:
    """Return the words of the text, for the database's function `fabra_lexemes`, at indexing and at querying alike."""
    words = split_compounds(lexical_text(text))
    # In some locales PostgreSQL lowers the letters of ASCII only.
    return words if words.isascii() else words.lower()


def _pairs(run: str) -> list[str]:
    return [run[start : start + 2] for start in range(len(run) - 1)] or [run]


def lexemes_of(language: str, text: str) -> Func:
    """Return the expression for a text's lexemes, as a chunk's are stored and a query's are looked for."""
    return Func(
        SearchConfig(language), Value(lexical_words(text)), function="fabra_lexemes", output_field=SearchVectorField()
    )


def languages() -> list[str]:
    """Return the names of the text-search configurations of this PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT cfgname FROM pg_ts_config ORDER BY cfgname")
        return [name for (name,) in cursor.fetchall()]


def merge_counts(generation_id: int) -> int:
    """Merge the unmerged rows into one row for each lexeme; return how many rows were merged.

    Readers see the same sums before and after, and writers may add rows meanwhile. Return 0 at once if another
    process is merging.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        if not try_lock_in_transaction(f"lexemes {generation_id}"):
            return 0
        cursor.execute(
            """
            WITH change AS (
                DELETE FROM retrieval_lexemecount WHERE generation_id = %(generation)s AND NOT is_merged
                RETURNING lexeme, chunk_count, length
            ), merged AS (
                INSERT INTO retrieval_lexemecount AS known (generation_id, lexeme, chunk_count, length, is_merged)
                SELECT %(generation)s, lexeme, sum(chunk_count), sum(length), true FROM change GROUP BY lexeme
                ON CONFLICT (generation_id, lexeme) WHERE is_merged DO UPDATE
                SET chunk_count = known.chunk_count + excluded.chunk_count, length = known.length + excluded.length
            )
            SELECT count(*) FROM change
            """,
            {"generation": generation_id},
        )
        (count,) = cursor.fetchone()
        cursor.execute(
            "DELETE FROM retrieval_lexemecount WHERE generation_id = %s AND is_merged AND chunk_count = 0",
            [generation_id],
        )
        return int(count)


def generations_to_merge() -> list[int]:
    """Return the generations with at least FABRA_LEXEME_MERGE_AFTER unmerged rows."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT generation_id FROM retrieval_lexemecount WHERE NOT is_merged "
            "GROUP BY generation_id HAVING count(*) >= %s",
            [settings.FABRA_LEXEME_MERGE_AFTER],
        )
        return [generation_id for (generation_id,) in cursor.fetchall()]


def recount(generation_id: int) -> None:
    """Recount a generation's lexemes; rows are deleted and inserted in one snapshot, so no writer has to wait."""
    with transaction.atomic(), connection.cursor() as cursor:
        lock_in_transaction(f"lexemes {generation_id}")
        cursor.execute(
            f"""
            WITH gone AS (DELETE FROM retrieval_lexemecount WHERE generation_id = %(generation)s)
            INSERT INTO retrieval_lexemecount (generation_id, lexeme, chunk_count, length, is_merged)
            SELECT %(generation)s, lexeme, chunk_count, length, false FROM ({COUNTS_FROM_CHUNKS}) counted
            """,
            {"generation": generation_id},
        )


def count_wrong_counts(
    generation_id: int, windows: Sequence[Sequence[int]], on_done: Callable[[int], object] = lambda count: None
) -> int:
    """Return the number of lexemes whose stored counts disagree with the chunks.

    `windows` are the primary keys of all documents, in order; `on_done` gets the length of each once it is counted. All
    is one statement, and so one snapshot; it is read as it runs.
    """
    left: dict[str, list[int]] = {}
    done = 0
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(
            """
            SELECT 0, lexeme, -sum(chunk_count), -sum(length) FROM retrieval_lexemecount
            WHERE generation_id = %(generation)s GROUP BY lexeme
            UNION ALL
            SELECT number, counted.lexeme, counted.chunk_count, counted.length
            FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) WITH ORDINALITY AS span(first, last, number)
            CROSS JOIN LATERAL (
                SELECT lexeme, count(*) AS chunk_count, sum(CASE WHEN lexeme = '' THEN length ELSE 0 END) AS length
                FROM retrieval_chunk, unnest(array_prepend(''::text, tsvector_to_array(lexemes))) AS lexeme
                WHERE generation_id = %(generation)s AND document_id BETWEEN first AND last GROUP BY lexeme
            ) counted
            """,
            {
                "generation": generation_id,
                "firsts": [window[0] for window in windows],
                "lasts": [window[-1] for window in windows],
            },
        )
        while rows := cursor.fetchmany(_FETCHED_ROWS):
            for _, lexeme, chunk_count, length in rows:
                counts = left.setdefault(lexeme, [0, 0])
                counts[0] += int(chunk_count)
                counts[1] += int(length)
            reached = max(done, rows[-1][0] - 1)
            on_done(sum(len(window) for window in windows[done:reached]))
            done = reached
    on_done(sum(len(window) for window in windows[done:]))
    return sum(counts != [0, 0] for counts in left.values())
