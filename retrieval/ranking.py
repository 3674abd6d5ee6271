"""The ranking, as one SQL statement: the seam that every change to it goes through.

The best of each leg are the candidates, and both scores are computed for all of them:
`score = cosine + 0.25 * lexical`. The semantic leg is the cosine. The lexical leg finds the chunks that hold
every word of the question, or one of its identifiers; its score is 1 for those and 0 for others, since
ts_rank_cd orders chunks within the leg but is no measure that can be weighed against a cosine.
"""

from typing import Any

CANDIDATES = 50
LEXICAL_WEIGHT = 0.25

# Each step is materialised: one flat join of them all would take PostgreSQL longer to plan (6 ms) than to run.
_SQL = """
WITH question AS MATERIALIZED (
    SELECT {tsquery} AS words {vector}
), semantic AS MATERIALIZED (
    {semantic}
), lexical AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY density DESC, id) AS rank FROM (
        SELECT c.id, ts_rank_cd(c.lexemes, question.words) AS density
        FROM retrieval_chunk c, question
        WHERE c.generation_id = {generation} AND c.lexemes @@ question.words {where}
        ORDER BY density DESC, c.id LIMIT {candidates}
    ) best
), candidate AS MATERIALIZED (
    SELECT id, max(semantic_rank) AS semantic_rank, max(lexical_rank) AS lexical_rank FROM (
        SELECT id, rank AS semantic_rank, NULL::bigint AS lexical_rank FROM semantic
        UNION ALL
        SELECT id, NULL, rank FROM lexical
    ) legs GROUP BY id
), scored AS MATERIALIZED (
    SELECT id, semantic_rank, lexical_rank, cosine, match, coalesce(cosine, 0) + {weight} * match AS score FROM (
        SELECT id, semantic_rank, lexical_rank, {cosine} AS cosine, (c.lexemes @@ question.words)::int AS match
        FROM candidate JOIN retrieval_chunk c USING (id) CROSS JOIN question
    ) both_legs
    ORDER BY score DESC, id LIMIT %(top_k)s
)
SELECT s.id, d.entity_id, v.number, v.id, v.title, c.heading_path, c.text, c.metadata::text,
    s.score::float8, s.cosine::float8, s.match::float8, s.semantic_rank, s.lexical_rank
FROM scored s
JOIN retrieval_chunk c ON c.id = s.id
JOIN retrieval_documentversion v ON v.id = c.version_id
JOIN retrieval_document d ON d.id = c.document_id
ORDER BY s.score DESC, s.id
"""

_VECTOR = ", %(vector)s::vector({dimension}) AS vector"
_SEMANTIC = """
    SELECT id, row_number() OVER (ORDER BY distance, id) AS rank FROM (
        SELECT c.id, c.embedding::vector({dimension}) <=> (SELECT vector FROM question) AS distance
        FROM retrieval_chunk c
        WHERE c.generation_id = {generation} {where}
        ORDER BY distance LIMIT {candidates}
    ) nearest
"""
_NO_SEMANTIC = "SELECT NULL::bigint AS id, NULL::bigint AS rank WHERE false"


def ranking_sql(
    *,
    generation_id: int,
    dimension: int,
    language: str,
    query: str,
    identifiers: list[str],
    vector: str | None,
    filters: str | None,
    top_k: int,
) -> tuple[str, dict[str, Any]]:
    """Return the statement and its parameters; `vector` None leaves the semantic leg out.

    The generation stands in it as a literal: only so does the planner use the generation's partial index.
    """
    parameters: dict[str, Any] = {"language": language, "query": query, "top_k": top_k}
    where = ""
    if filters is not None:
        where, parameters["filters"] = "AND c.metadata @> %(filters)s::jsonb", filters
    tsquery = "plainto_tsquery(%(language)s::regconfig, %(query)s)"
    for number, word in enumerate(identifiers):
        tsquery += f" || phraseto_tsquery(%(language)s::regconfig, %(word{number})s)"
        parameters[f"word{number}"] = word
    parts: dict[str, Any] = {
        "tsquery": tsquery,
        "generation": int(generation_id),
        "dimension": int(dimension),
        "candidates": max(CANDIDATES, top_k),
        "where": where,
        "weight": LEXICAL_WEIGHT,
    }
    if vector is None:
        return _SQL.format(vector="", semantic=_NO_SEMANTIC, cosine="NULL::float8", **parts), parameters
    parameters["vector"] = vector
    cosine = "1 - (c.embedding::vector({dimension}) <=> question.vector)".format(**parts)
    return (
        _SQL.format(vector=_VECTOR.format(**parts), semantic=_SEMANTIC.format(**parts), cosine=cosine, **parts),
        parameters,
    )
