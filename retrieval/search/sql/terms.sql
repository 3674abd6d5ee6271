-- The steps 2 and 3 of ranking.sql, which the choice of lexemes and their count need alone.
size AS MATERIALIZED (  -- 2. The number of chunks, and their average length in lexemes.
    SELECT coalesce(sum(chunk_count), 0)::float8 AS chunks,
        greatest(coalesce(sum(length), 0)::float8 / nullif(sum(chunk_count), 0), 1) AS average
    FROM retrieval_lexemecount WHERE generation_id = {generation} AND lexeme = ''

), term AS MATERIALIZED (  -- 3. The query's lexemes, rarest first, each with its document frequency and idf.
    -- The idf of a word that only earlier questions have is multiplied by the weight of the newest of these.
    SELECT lexeme, df, share * ln(1 + (greatest(chunks - df, 0) + 0.5) / (df + 0.5)) AS idf, id,
        ('{{' || id || ':1}}/268435456')::sparsevec AS unit
    FROM size, (
        SELECT word.lexeme, word.share, fabra_term(word.lexeme) AS id, coalesce((
            SELECT sum(chunk_count) FROM retrieval_lexemecount n
            WHERE n.generation_id = {generation} AND n.lexeme = word.lexeme
        ), 0)::float8 AS df
        FROM (
            SELECT lexeme, max(share) AS share
            FROM unnest(%(queries)s::text[], %(shares)s::float8[]) AS question(words, share),
                unnest(tsvector_to_array(fabra_lexemes(%(language)s::regconfig, words))) AS lexeme
            GROUP BY lexeme
        ) word
        OFFSET 0  -- keeps the counts from being computed again at each use of df
    ) counted
    WHERE df > 0 OR lexeme <> ALL (%(other_spellings)s::text[])
    ORDER BY df <= 0, df / share, lexeme LIMIT {max_terms}
)
