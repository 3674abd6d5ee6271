-- The chunks with the greatest BM25 of those that contain the chosen lexemes, which the GIN finds.
    SELECT row_id FROM (
        SELECT c.ctid AS row_id, c.weights FROM retrieval_chunk c
        WHERE c.generation_id = {generation} AND c.lexemes @@ (
{lexical_query}
        ) {where}
        LIMIT {max_matching}
    ) matching
    ORDER BY weights <#> (SELECT idf FROM weight) LIMIT {lexical_candidates}
