"""The words of the lexical leg: what PostgreSQL's parser is blind to, and the counts that BM25 rests on."""

import re
import unicodedata

from django.conf import settings
from django.db import connection, transaction

from common.locks import lock_in_transaction, try_lock_in_transaction

_SCRIPTS_WITHOUT_SPACES = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_RUN = re.compile(f"[{_SCRIPTS_WITHOUT_SPACES}]+")
_PICTURES = (range(0x2190, 0x2500), range(0x25A0, 0x2C00), range(0x1F000, 0x1FB00))
_DASHES = "\u2010\u2011\u2212"
_NO_WIDTH = "\u00ad\u200d\u2060\ufeff"
_VARIANTS = range(0xFE00, 0xFE10)


class _Characters(dict[int, str | None]):
    """What each character is to the parser, found out once."""

    def __missing__(self, code: int) -> str | None:
        self[code] = found = _as_parsed(code)
        return found


def _as_parsed(code: int) -> str | None:
    character = chr(code)
    if any(code in pictures for pictures in _PICTURES):
        return f" u{code:x} "
    if character in _DASHES:
        return "-"
    if character in _NO_WIDTH or code in _VARIANTS:
        return None
    is_of_a_word = character.isascii() or unicodedata.category(character)[0] in "LMN"
    return character if is_of_a_word else " "


_CHARACTERS = _Characters()

RECOUNTED = """
    SELECT lexeme, count(*) AS chunk_count, 0::bigint AS length
    FROM retrieval_chunk, unnest(tsvector_to_array(lexemes)) AS lexeme
    WHERE generation_id = %(generation)s GROUP BY lexeme
    UNION ALL
    SELECT '', count(*), coalesce(sum(length), 0) FROM retrieval_chunk WHERE generation_id = %(generation)s
"""
"""The counts as the chunks themselves tell them."""


def lexical_text(text: str) -> str:
    """Return the text as its parser reads it alike in every database, and loses nothing of it.

    Which characters beyond ASCII are letters depends on the database's locale; to some a dash or a curly quote is one,
    and its words are glued together. So what is of no word becomes a space here, and what looks the same is written
    the same (Unicode's NFKC). Emoji become their code. Chinese, Japanese, Thai and their like write no spaces, so a
    run of letters would be one word that only its exact like matches; overlapping pairs are the field's plain answer
    (Lucene's CJKBigramFilter).
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text.translate(_CHARACTERS))
    return _RUN.sub(lambda run: f" {' '.join(_pairs(run.group()))} ", text)


def _pairs(run: str) -> list[str]:
    return [run[start : start + 2] for start in range(len(run) - 1)] or [run]


def languages() -> list[str]:
    """Return the text-search configurations that this PostgreSQL has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT cfgname FROM pg_ts_config ORDER BY cfgname")
        return [name for (name,) in cursor.fetchall()]


def merge_counts(generation_id: int) -> int:
    """Merge the changes of the counts into one row a lexeme, and return how many there were.

    Readers see the same sums before and after; writers add rows meanwhile; of two mergers one waits for nobody.
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


def crowded_generations() -> list[int]:
    """Return the generations whose changes are worth merging."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT generation_id FROM retrieval_lexemecount WHERE NOT is_merged "
            "GROUP BY generation_id HAVING count(*) >= %s",
            [settings.FABRA_LEXEME_MERGE_AFTER],
        )
        return [generation_id for (generation_id,) in cursor.fetchall()]


def recount(generation_id: int) -> None:
    """Count a generation's lexemes anew. One snapshot sees what goes and what comes, so no writer has to wait."""
    with transaction.atomic(), connection.cursor() as cursor:
        lock_in_transaction(f"lexemes {generation_id}")
        cursor.execute(
            f"""
            WITH gone AS (DELETE FROM retrieval_lexemecount WHERE generation_id = %(generation)s)
            INSERT INTO retrieval_lexemecount (generation_id, lexeme, chunk_count, length, is_merged)
            SELECT %(generation)s, lexeme, chunk_count, length, false FROM ({RECOUNTED}) counted
            """,
            {"generation": generation_id},
        )


def count_miscounted(generation_id: int) -> int:
    """Return of how many lexemes the kept counts disagree with the chunks."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT count(*) FROM (
                SELECT FROM (
                    SELECT lexeme, chunk_count, length FROM ({RECOUNTED}) counted
                    UNION ALL
                    SELECT lexeme, -chunk_count, -length FROM retrieval_lexemecount WHERE generation_id = %(generation)s
                ) both_counts
                GROUP BY lexeme HAVING sum(chunk_count) <> 0 OR sum(length) <> 0
            ) different
            """,
            {"generation": generation_id},
        )
        return int(cursor.fetchone()[0])
