"""Triggers that keep the document frequencies of each generation, and where the term weights are stored."""

from django.db import migrations

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


class Migration(migrations.Migration):

    dependencies = [("retrieval", "0001_initial")]

    operations = [
        # The ranking reads the weights of thousands of chunks: in the row, not beside it.
        migrations.RunSQL("ALTER TABLE retrieval_chunk ALTER COLUMN weights SET STORAGE MAIN", migrations.RunSQL.noop),
        migrations.RunSQL(_COUNT, "DROP FUNCTION fabra_count_lexemes CASCADE"),
        migrations.RunSQL(_RECOUNT, "DROP FUNCTION fabra_recount_lexemes CASCADE"),
        *[migrations.RunSQL(each, migrations.RunSQL.noop) for each in _TRIGGERS],
    ]
