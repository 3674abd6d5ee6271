"""pgvector, and what the columns of a chunk are computed with: its lexemes, their number and BM25 term weights."""

from django.db import migrations
from pgvector.django import VectorExtension

# A lexeme's dimension in a sparse vector. 28 bits of MD5, since hashtext() may change between versions.
_TERM = """
CREATE FUNCTION fabra_term(lexeme text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ('x' || substr(md5(lexeme), 1, 7))::bit(28)::integer + 1
"""

# A text's length in lexemes, stop words left out.
_LENGTH = """
CREATE FUNCTION fabra_length(words tsvector) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(sum(coalesce(cardinality(w.positions), 1)), 0)::integer FROM unnest(words) w;
END
"""

# BM25's share of each lexeme but for its idf, tf / (tf + k1 * (1 - b + b * length / average)), with k1 = 1.2,
# b = 0.75 and 100 for the average; the ranking puts the generation's own average in its place.
# BEGIN ATOMIC binds names when it is created, so that a restored dump finds them under any search_path.
_WEIGHTS = """
CREATE FUNCTION fabra_weights(words tsvector) RETURNS sparsevec LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    WITH word AS MATERIALIZED (
        SELECT lexeme, coalesce(cardinality(positions), 1)::float8 AS tf FROM unnest(words)
    ), norm AS MATERIALIZED (
        SELECT 1.2 * (0.25 + 0.75 * sum(tf) / 100.0) AS k FROM word
    )
    SELECT ('{' || coalesce(string_agg(term || ':' || weight, ','), '') || '}/268435456')::sparsevec
    FROM (
        SELECT fabra_term(lexeme) AS term, least(sum(tf / (tf + k)), 0.999)::real AS weight
        FROM word CROSS JOIN norm GROUP BY 1
    ) weights;
END
"""

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


class Migration(migrations.Migration):

    dependencies = []

    operations = [
        VectorExtension(),
        migrations.RunSQL(_TERM, "DROP FUNCTION fabra_term"),
        migrations.RunSQL(_LENGTH, "DROP FUNCTION fabra_length"),
        migrations.RunSQL(_WEIGHTS, "DROP FUNCTION fabra_weights"),
        migrations.RunSQL(_UNACCENT, "DROP FUNCTION fabra_unaccent"),
        migrations.RunSQL(_LEXEMES, "DROP FUNCTION fabra_lexemes"),
    ]
