"""The lexemes of a text, accented or not; and those of the chunks that are there, where they change by it."""

from typing import Any

from django.db import migrations

# Latin letters without their accents; in other scripts a mark makes another letter (й is no и).
_UNACCENT = r"""
CREATE FUNCTION fabra_unaccent(words text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN replace(replace(replace(translate(normalize(regexp_replace(
    normalize(words, NFD), '([A-Za-z])[\u0300-\u036f]+', '\1', 'g'
), NFC), 'øłđðı', 'olddi'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe')
"""

# An accented word is found by its stem, without its accents, as the language has it ("mangées" by "mangé"), and by the
# stem of the word as it is typed without accents. Both stand at the word's position, so that a word counts once where
# they are the same. A word that the language leaves out, such as "für", is left out without its accents too.
_LEXEMES = """
CREATE FUNCTION fabra_lexemes(config regconfig, words text) RETURNS tsvector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN octet_length(words) = char_length(words) THEN to_tsvector(config, words) ELSE (
        WITH stem AS MATERIALIZED (
            SELECT lexeme, position FROM unnest(to_tsvector(config, words)) w, unnest(w.positions) position
        ), found AS (
            SELECT fabra_unaccent(lexeme) AS lexeme, position FROM stem
            UNION
            SELECT w.lexeme, position
            FROM unnest(to_tsvector(config, fabra_unaccent(words))) w, unnest(w.positions) position
            WHERE position IN (SELECT position FROM stem)
        )
        SELECT coalesce(
            string_agg('''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || ''':' || position, ' '), ''
        )::tsvector FROM found
    ) END;
END
"""


def _recompute(apps: Any, schema_editor: Any) -> None:
    # Today's rule, not that of this migration: lexemes are computed from the texts, by PostgreSQL's functions and
    # Python's rules as they are when it runs, and chunks whose lexemes are right already are not written. So a database
    # that runs several of these migrations computes them once.
    from retrieval.indexing.recompute import recompute_lexemes

    recompute_lexemes()


class Migration(migrations.Migration):

    # A commit for each batch of chunks: searches and changes of documents go on meanwhile.
    atomic = False

    dependencies = [("retrieval", "0003_file_warnings")]

    operations = [
        migrations.RunSQL(_UNACCENT, "DROP FUNCTION fabra_unaccent"),
        migrations.RunSQL(_LEXEMES, "DROP FUNCTION fabra_lexemes"),
        migrations.RunPython(_recompute, migrations.RunPython.noop),
    ]
