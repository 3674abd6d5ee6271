"""BM25 inside PostgreSQL: each chunk's term weights, and the document frequencies of each generation."""

import django.contrib.postgres.fields
import django.db.models.deletion
import pgvector.django
from django.db import migrations, models

# A lexeme's place in a sparse vector. 28 bits of MD5, since hashtext() may change between versions.
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

_COUNT = """
CREATE FUNCTION fabra_count_lexemes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    sign integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
BEGIN
    INSERT INTO retrieval_lexemecount (generation_id, lexeme, chunk_count, length, is_merged)
    SELECT generation_id, lexeme, sign * count(*), 0, false
    FROM changed, unnest(tsvector_to_array(lexemes)) AS lexeme
    GROUP BY generation_id, lexeme
    UNION ALL
    SELECT generation_id, '', sign * count(*), sign * sum(length), false FROM changed GROUP BY generation_id;
    RETURN NULL;
END $$
"""

_RECOUNT = """
CREATE FUNCTION fabra_recount_lexemes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO retrieval_lexemecount (generation_id, lexeme, chunk_count, length, is_merged)
    SELECT generation_id, lexeme, sum(n), sum(length), false FROM (
        SELECT generation_id, lexeme, 1 AS n, 0 AS length
        FROM after_it, unnest(tsvector_to_array(lexemes)) AS lexeme
        UNION ALL
        SELECT generation_id, lexeme, -1, 0 FROM before_it, unnest(tsvector_to_array(lexemes)) AS lexeme
        UNION ALL
        SELECT generation_id, '', 1, length FROM after_it
        UNION ALL
        SELECT generation_id, '', -1, -length FROM before_it
    ) changes
    GROUP BY generation_id, lexeme HAVING sum(n) <> 0 OR sum(length) <> 0;
    RETURN NULL;
END $$
"""

_TRIGGERS = [
    f"CREATE TRIGGER chunk_{name} AFTER {operation} ON retrieval_chunk REFERENCING {tables} "
    f"FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
    for name, operation, tables, function in (
        ("added", "INSERT", "NEW TABLE AS changed", "fabra_count_lexemes"),
        ("removed", "DELETE", "OLD TABLE AS changed", "fabra_count_lexemes"),
        ("changed", "UPDATE", "OLD TABLE AS before_it NEW TABLE AS after_it", "fabra_recount_lexemes"),
    )
]

# What was indexed before the triggers stood.
_FIRST_COUNT = """
INSERT INTO retrieval_lexemecount (generation_id, lexeme, chunk_count, length, is_merged)
SELECT generation_id, lexeme, count(*), 0, true
FROM retrieval_chunk, unnest(tsvector_to_array(lexemes)) AS lexeme GROUP BY generation_id, lexeme
UNION ALL
SELECT generation_id, '', count(*), sum(length), true FROM retrieval_chunk GROUP BY generation_id
"""


class Migration(migrations.Migration):

    dependencies = [("retrieval", "0002_golden_questions")]

    operations = [
        migrations.CreateModel(
            name="LexemeCount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("lexeme", models.TextField()),
                ("chunk_count", models.IntegerField()),
                ("length", models.BigIntegerField(default=0)),
                ("is_merged", models.BooleanField(default=False)),
                ("generation", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="retrieval.generation")),
            ],
            options={
                "indexes": [
                    models.Index(fields=["generation", "lexeme"], include=("chunk_count",), name="lexeme_by_generation"),
                    models.Index(condition=models.Q(("is_merged", False)), fields=["generation"], name="lexeme_unmerged"),
                ],
                "constraints": [models.UniqueConstraint(condition=models.Q(("is_merged", True)), fields=("generation", "lexeme"), name="lexeme_merged_once")],
            },
        ),
        migrations.RunSQL(_TERM, "DROP FUNCTION fabra_term"),
        migrations.RunSQL(_LENGTH, "DROP FUNCTION fabra_length"),
        migrations.RunSQL(_WEIGHTS, "DROP FUNCTION fabra_weights"),
        # Each generation gets a partial GIN of its own: indexes in one database do not slow each other.
        migrations.RemoveIndex(model_name="chunk", name="chunk_lexemes"),
        migrations.AddField(
            model_name="chunk",
            name="length",
            field=models.GeneratedField(db_persist=True, expression=models.Func(models.F("lexemes"), function="fabra_length"), output_field=models.IntegerField()),
        ),
        migrations.AddField(
            model_name="chunk",
            name="weights",
            field=models.GeneratedField(db_persist=True, expression=models.Func(models.F("lexemes"), function="fabra_weights"), output_field=pgvector.django.SparseVectorField()),
        ),
        # The ranking reads the weights of thousands of chunks: in the row, not beside it.
        migrations.RunSQL("ALTER TABLE retrieval_chunk ALTER COLUMN weights SET STORAGE MAIN", migrations.RunSQL.noop),
        migrations.RunSQL(_COUNT, "DROP FUNCTION fabra_count_lexemes CASCADE"),
        migrations.RunSQL(_RECOUNT, "DROP FUNCTION fabra_recount_lexemes CASCADE"),
        *[migrations.RunSQL(each, migrations.RunSQL.noop) for each in _TRIGGERS],
        migrations.RunSQL(_FIRST_COUNT, migrations.RunSQL.noop),
        migrations.AddField(model_name="index", name="fusion", field=models.CharField(choices=[("weighted", "weighted sum of both scores"), ("rrf", "reciprocal ranks")], default="weighted", max_length=10)),
        migrations.AddField(model_name="index", name="lexical_weight", field=models.FloatField(default=0.75, help_text="What a perfect match of the words is worth beside a cosine of 1.")),
        migrations.AddField(model_name="index", name="mode", field=models.CharField(choices=[("hybrid", "Hybrid"), ("semantic", "Semantic"), ("lexical", "Lexical")], default="hybrid", help_text="The legs of a search.", max_length=10)),
        migrations.AddField(model_name="retrieverdefinition", name="options", field=models.JSONField(blank=True, default=dict, help_text="What it asks of a search beyond the index's own.")),
        migrations.AddField(model_name="index", name="rerank", field=models.BooleanField(default=False, help_text="Have the reranker of the settings read the best hits again.")),
        migrations.AlterField(model_name="documentversion", name="content_hash", field=models.CharField(help_text="SHA-256 of title, text, metadata and audience.", max_length=64)),
        migrations.AlterField(model_name="generation", name="has_hnsw", field=models.BooleanField(default=False, help_text="Its HNSW and GIN stand; below 2,000 chunks searches are exact without.", verbose_name="index built")),
        # Built anew, with the GIN beside the HNSW.
        migrations.RunSQL("UPDATE retrieval_generation SET has_hnsw = false", migrations.RunSQL.noop),
        *[
            migrations.AddField(model_name=model, name="audience", field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=100), blank=True, default=list, size=None, help_text=help_text))
            for model, help_text in (
                ("document", "Who may find it, separated by commas; empty: everyone."),
                ("documentversion", ""),
                ("chunk", ""),
            )
        ],
    ]
