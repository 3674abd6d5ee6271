-- The ranking of one generation's chunks for one query. {…} is filled in by retrieval/search/ranking.py.
--
-- Each step is materialised: one flat join of them all takes PostgreSQL longer to plan (6 ms) than to run.
-- `terms` are the steps 2 and 3, the query's lexemes, in a file of their own.
-- Candidates are identified by their ctid, which is stable within one snapshot, so that reading them needs no index.

WITH query AS MATERIALIZED (  -- 1. The query's vector, in full precision as stored vectors are, and in half precision as in the HNSW.
    SELECT vector, vector::halfvec({dimension}) AS half{set_ef_search}
    FROM (SELECT %(vector)s::vector({dimension}) AS vector) given

), {terms}, weight AS MATERIALIZED (  -- 4. The idf of all terms as one sparse vector; its inner product with `weights` is BM25.
    SELECT ('{{' || string_agg(id || ':' || idf::real, ',') || '}}/268435456')::sparsevec AS idf
    FROM (SELECT id, max(idf) AS idf FROM term WHERE df > 0 GROUP BY id) known

), semantic AS MATERIALIZED (  -- 5. The candidates of each leg.
{semantic_leg}
), lexical AS MATERIALIZED (
{lexical_leg}
), candidate AS MATERIALIZED (
    SELECT row_id, max(rank) AS semantic_rank, bool_or(is_lexical) AS is_lexical FROM (
        SELECT row_id, rank, false AS is_lexical FROM semantic
        UNION ALL
        SELECT row_id, NULL, true FROM lexical
    ) legs GROUP BY row_id

), measured AS MATERIALIZED (  -- 6. Both scores for all candidates: the cosine, and the inputs of BM25.
    -- `weights` use a length norm of 100 lexemes (stored_norm); the score uses the generation's average length.
    SELECT id, document_id, semantic_rank, is_lexical, cosine, weights,
        0.3 + 0.009 * length AS stored_norm, 0.3 + 0.9 * length / average AS norm
    FROM (
        SELECT c.id, c.document_id, k.semantic_rank, k.is_lexical, c.length, c.weights, {cosine} AS cosine
        FROM candidate k JOIN retrieval_chunk c ON c.ctid = k.row_id CROSS JOIN query
    ) read CROSS JOIN size

), bm25 AS MATERIALIZED (  -- 7. BM25 divided by the query's greatest possible BM25, 0 to 1.
    -- And how rare the rarest matching lexeme is: its idf divided by that of a lexeme of one chunk, 0 to 1.
    SELECT id, max(idf) / (SELECT ln(1 + (greatest(chunks, 1) - 0.5) / 1.5) FROM size) AS rarity,
        sum(idf * share * stored_norm / (share * stored_norm + norm * (1 - share))) / (SELECT sum(idf) FROM term) AS bm25
    FROM (
        SELECT m.id, m.stored_norm, m.norm, t.idf, -(m.weights <#> t.unit) AS share
        FROM measured m CROSS JOIN term t WHERE t.df > 0
    ) shares
    WHERE share > 0 GROUP BY id

), ranked AS MATERIALIZED (
    SELECT m.id, m.document_id, m.semantic_rank, m.cosine, coalesce(b.bm25, 0) AS bm25,
        coalesce(b.rarity, 0) AS rarity,
        CASE WHEN m.is_lexical AND b.bm25 > 0
            THEN row_number() OVER (PARTITION BY m.is_lexical AND b.bm25 > 0 ORDER BY b.bm25 DESC, m.id) END
            AS lexical_rank
    FROM measured m LEFT JOIN bm25 b ON b.id = m.id

), scored AS MATERIALIZED (  -- 8. The fusion of both scores, and the best chunks.
    SELECT *, {score} AS score FROM ranked
), best AS MATERIALIZED (
    SELECT * FROM {per_document} ORDER BY score DESC, id LIMIT %(limit)s
)
SELECT b.id, d.entity_id, v.number, v.id, v.title, c.heading_path, c.text, c.metadata::text, c.position,
    b.score::float8, b.cosine::float8, b.bm25::float8, b.semantic_rank, b.lexical_rank
FROM best b
JOIN retrieval_chunk c ON c.id = b.id
JOIN retrieval_documentversion v ON v.id = c.version_id
JOIN retrieval_document d ON d.id = c.document_id
ORDER BY b.score DESC, b.id
