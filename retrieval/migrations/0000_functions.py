"""pgvector, and what the columns of a chunk are computed with: its length and its BM25 term weights."""

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


class Migration(migrations.Migration):

    dependencies = []

    operations = [
        VectorExtension(),
        migrations.RunSQL(_TERM, "DROP FUNCTION fabra_term"),
        migrations.RunSQL(_LENGTH, "DROP FUNCTION fabra_length"),
        migrations.RunSQL(_WEIGHTS, "DROP FUNCTION fabra_weights"),
    ]
