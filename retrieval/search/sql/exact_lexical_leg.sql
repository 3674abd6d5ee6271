-- The chunks with the greatest BM25 of all chunks.
    SELECT c.ctid AS row_id FROM retrieval_chunk c
    WHERE c.generation_id = {generation} AND (c.weights <#> (SELECT idf FROM weight)) < 0 {where}
    ORDER BY c.weights <#> (SELECT idf FROM weight) LIMIT {lexical_candidates}
