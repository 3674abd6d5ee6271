-- The nearest chunks. The HNSW holds vectors in half precision; the score uses the stored vectors in full precision.
    SELECT row_id, row_number() OVER (ORDER BY distance, id) AS rank FROM (
        SELECT c.ctid AS row_id, c.id, {distance} AS distance
        FROM retrieval_chunk c
        WHERE c.generation_id = {generation} {where}
        ORDER BY distance LIMIT {candidates}
    ) nearest
