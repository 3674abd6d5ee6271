"""The ranking, as one SQL statement: the seam that every change to it goes through.

The best of each leg are the candidates, and both scores are computed for all of them. The semantic score is the
cosine of question and chunk. The lexical score is BM25 (Robertson and Zaragoza 2009, k1 = 1.2, b = 0.75, idf as
in Lucene: ln(1 + (N - df + 0.5) / (df + 0.5))) divided by the question's greatest possible BM25, so from 0 to 1:
a question that matches weakly in words changes little. Fusion adds them, `cosine + weight * lexical`, or takes
reciprocal ranks (Cormack et al. 2009).

A chunk's `weights` hold BM25's share of each lexeme at a length norm of 100 lexemes. They choose the lexical leg's
candidates; the score itself is then computed with the generation's own average length, as of this snapshot.
"""

from dataclasses import dataclass
from typing import Any

CANDIDATES = 80
"""Of 100,000 chunks; see depth."""
FILTERED_CANDIDATES = 200
"""A filter is a promise of recall: both legs are read deeper, where it leaves too many chunks to measure each."""
EF_SEARCH, MOST_EF_SEARCH = 1.6, 1000
"""How many of its nearest the HNSW keeps in mind while it walks, for each candidate."""
REACH = 5
"""The lexical leg looks at so many chunks for each candidate, and about as many again: see _LEXICAL."""
MOST_TERMS = 48
MOST_COMMON = 6
MOST_WALKED = 40_000
MOST_SCANNED = 10_000
RRF_K = 60

# Each step is materialised: one flat join of them all would take PostgreSQL longer to plan (6 ms) than to run.
# A candidate is known by its place in the table, which one snapshot keeps, so that nothing is looked up to read it.
_SQL = """
WITH question AS MATERIALIZED (
    SELECT vector, vector::halfvec({dimension}) AS half{walk}
    FROM (SELECT %(vector)s::vector({dimension}) AS vector) given
), size AS MATERIALIZED (
    SELECT coalesce(sum(chunk_count), 0)::float8 AS chunks,
        greatest(coalesce(sum(length), 0)::float8 / nullif(sum(chunk_count), 0), 1) AS average
    FROM retrieval_lexemecount WHERE generation_id = {generation} AND lexeme = ''
), term AS MATERIALIZED (
    SELECT lexeme, df, ln(1 + (greatest(chunks - df, 0) + 0.5) / (df + 0.5)) AS idf, id,
        ('{{' || id || ':1}}/268435456')::sparsevec AS place
    FROM size, (
        SELECT word.lexeme, fabra_term(word.lexeme) AS id, coalesce((
            SELECT sum(chunk_count) FROM retrieval_lexemecount n
            WHERE n.generation_id = {generation} AND n.lexeme = word.lexeme
        ), 0)::float8 AS df
        FROM unnest(tsvector_to_array(to_tsvector(%(language)s::regconfig, %(query)s))) AS word(lexeme)
        OFFSET 0  -- counts once, not at each mention
    ) counted
    ORDER BY df <= 0, df, lexeme LIMIT {most_terms}
), weight AS MATERIALIZED (
    SELECT ('{{' || string_agg(id || ':' || idf::real, ',') || '}}/268435456')::sparsevec AS idf
    FROM (SELECT id, max(idf) AS idf FROM term WHERE df > 0 GROUP BY id) known
), semantic AS MATERIALIZED (
    {semantic}
), lexical AS MATERIALIZED (
    {lexical}
), candidate AS MATERIALIZED (
    SELECT place, max(rank) AS semantic_rank, bool_or(is_lexical) AS is_lexical FROM (
        SELECT place, rank, false AS is_lexical FROM semantic
        UNION ALL
        SELECT place, NULL, true FROM lexical
    ) legs GROUP BY place
), share AS MATERIALIZED (
    SELECT id, document_id, semantic_rank, is_lexical, cosine, weights,
        0.3 + 0.009 * length AS norm, 0.3 + 0.9 * length / average AS true_norm
    FROM (
        SELECT c.id, c.document_id, k.semantic_rank, k.is_lexical, c.length, c.weights, {cosine} AS cosine
        FROM candidate k JOIN retrieval_chunk c ON c.ctid = k.place CROSS JOIN question
    ) read CROSS JOIN size
), bm25 AS MATERIALIZED (
    SELECT id, sum(idf * part * norm / (part * norm + true_norm * (1 - part))) / (SELECT sum(idf) FROM term) AS bm25
    FROM (
        SELECT s.id, s.norm, s.true_norm, t.idf,
            -(s.weights <#> t.place) AS part
        FROM share s CROSS JOIN term t WHERE t.df > 0
    ) parts
    WHERE part > 0 GROUP BY id
), ranked AS MATERIALIZED (
    SELECT s.id, s.document_id, s.semantic_rank, s.cosine, coalesce(b.bm25, 0) AS bm25,
        CASE WHEN s.is_lexical AND b.bm25 > 0
            THEN row_number() OVER (PARTITION BY s.is_lexical AND b.bm25 > 0 ORDER BY b.bm25 DESC, s.id) END
            AS lexical_rank
    FROM share s LEFT JOIN bm25 b ON b.id = s.id
), scored AS MATERIALIZED (
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
"""

# The HNSW looks at the setting after it has asked for the vector. A statement with it is not run in parallel.
_WALK = ", set_config('hnsw.ef_search', '{ef_search}', true)"
# The HNSW holds vectors in half precision; the score is of the vectors as they are.
_SEMANTIC = """
    SELECT place, row_number() OVER (ORDER BY distance, id) AS rank FROM (
        SELECT c.ctid AS place, c.id, {distance} AS distance
        FROM retrieval_chunk c
        WHERE c.generation_id = {generation} {where}
        ORDER BY distance LIMIT {candidates}
    ) nearest
"""
_NEAR = "c.embedding::halfvec({dimension}) <=> (SELECT half FROM question)"
_DISTANT = "c.embedding <=> (SELECT vector FROM question)"
_NO_SEMANTIC = "SELECT NULL::tid AS place, NULL::bigint AS rank WHERE false"
_NO_LEXICAL = "SELECT NULL::tid AS place WHERE false"

# Chunks with any of the rarest lexemes, as far as they reach. Of the next few lexemes each set is a class of chunks:
# those with just these. The classes of the greatest idf are taken until they should hold as many chunks again (were
# words independent); the sets of which no lexeme can be spared say the same in fewer words. The GIN walks the chunks
# of a set's rarest lexeme, so that only lexemes that are rare enough begin a set, and are written before the rest.
_LEXICAL = """
    SELECT place FROM (
        SELECT c.ctid AS place, c.weights FROM retrieval_chunk c
        WHERE c.generation_id = {generation} AND c.lexemes @@ (
            WITH known AS MATERIALIZED (
                SELECT '''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || '''' AS word, df, idf,
                    sum(df) OVER (ORDER BY df, lexeme) <= {reach} AS is_rare
                FROM term WHERE df > 0
            ), common AS MATERIALIZED (
                SELECT word, idf, df / chunks AS share, 1 << (row_number() OVER (ORDER BY df, word) - 1)::int AS bit,
                    sum(df) OVER (ORDER BY df, word) <= {most_walked} AS is_start
                FROM known, size WHERE NOT is_rare ORDER BY df, word LIMIT {most_common}
            ), class AS MATERIALIZED (
                SELECT *, sum(expected) OVER (ORDER BY idf DESC, members) - expected AS before FROM (
                    SELECT members, max(word) FILTER (WHERE bit = members & -members) AS first,
                        string_agg(word, ' & ') FILTER (WHERE is_in AND bit <> members & -members) AS others,
                        sum(idf) FILTER (WHERE is_in) AS idf, min(idf) FILTER (WHERE is_in) AS least,
                        (SELECT chunks FROM size)
                            * exp(sum(ln(CASE WHEN is_in THEN share ELSE greatest(1 - share, 1e-9) END))) AS expected
                    FROM generate_series(1, (1 << (SELECT count(*) FROM common)::int) - 1) members
                    CROSS JOIN LATERAL (SELECT *, members & bit > 0 AS is_in FROM common) member
                    WHERE members & -members <= (SELECT coalesce(max(bit) FILTER (WHERE is_start), 1) FROM common)
                    GROUP BY members
                ) sets
            )
            SELECT string_agg(words, ' | ')::tsquery FROM (
                SELECT word AS words FROM known WHERE is_rare
                UNION ALL
                SELECT CASE WHEN bool_or(others IS NULL) THEN first
                    ELSE first || ' & (' || string_agg(others, ' | ') || ')' END
                FROM class
                WHERE before < {reach} AND (
                    others IS NULL OR idf - least < (SELECT min(idf) FROM class WHERE before < {reach}) - 1e-9
                ) GROUP BY first
            ) clauses
        ) {where}
        LIMIT {most_scanned}
    ) matching
    ORDER BY weights <#> (SELECT idf FROM weight) LIMIT {lexical_candidates}
"""
_EXACT_LEXICAL = """
    SELECT c.ctid AS place FROM retrieval_chunk c
    WHERE c.generation_id = {generation} AND (c.weights <#> (SELECT idf FROM weight)) < 0 {where}
    ORDER BY c.weights <#> (SELECT idf FROM weight) LIMIT {lexical_candidates}
"""
_SCORES = {
    "weighted": "coalesce(cosine, 0) + %(weight)s::float8 * bm25",
    "rrf": "coalesce(1.0 / ({k} + semantic_rank), 0) + coalesce(1.0 / ({k} + lexical_rank), 0)",
    "semantic": "cosine",
    "lexical": "bm25",
}
_PER_DOCUMENT = """(
        SELECT *, row_number() OVER (PARTITION BY document_id ORDER BY score DESC, id) AS place FROM scored
    ) places WHERE place <= %(max_per_document)s"""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """One question to one generation, ready to be ranked."""

    generation_id: int
    dimension: int
    language: str
    query: str
    """As the lexical leg reads it; see retrieval.search.lexemes."""
    vector: str | None
    """The question's embedding as PostgreSQL reads it; None leaves the semantic leg out."""
    mode: str = "hybrid"
    fusion: str = "weighted"
    lexical_weight: float
    where: str = ""
    """Conditions on the chunk `c`, each with a leading AND."""
    where_parameters: dict[str, Any]
    is_exact: bool = False
    """Measure every chunk that `where` leaves, without the generation's HNSW and GIN."""
    candidates: int = CANDIDATES
    """Of each leg."""
    limit: int
    max_per_document: int | None = None


def depth(chunk_count: int, *, is_filtered: bool) -> int:
    """Return how many candidates each leg shall give: the more chunks there are, the closer lie the best."""
    least = FILTERED_CANDIDATES if is_filtered else CANDIDATES
    return round(least * max(1.0, chunk_count / 100_000) ** 0.5)


def ranking_sql(ranking: Ranking) -> tuple[str, dict[str, Any]]:
    """Return the statement and its parameters.

    The generation stands in it as a literal: only so does the planner use the generation's partial indexes.
    """
    lexical_candidates = 2 * int(ranking.candidates)
    parts: dict[str, Any] = {
        "generation": int(ranking.generation_id),
        "dimension": int(ranking.dimension),
        "where": ranking.where,
        "ef_search": min(round(EF_SEARCH * ranking.candidates), MOST_EF_SEARCH),
        "candidates": int(ranking.candidates),
        "lexical_candidates": lexical_candidates,
        "reach": REACH * int(ranking.candidates),
        "most_terms": MOST_TERMS,
        "most_common": MOST_COMMON,
        "most_walked": MOST_WALKED,
        "most_scanned": MOST_SCANNED,
        "k": RRF_K,
    }
    has_vector = ranking.vector is not None
    has_semantic_leg = has_vector and ranking.mode != "lexical"
    distance = (_DISTANT if ranking.is_exact else _NEAR).format(**parts)
    lexical = _EXACT_LEXICAL if ranking.is_exact else _LEXICAL
    score = ranking.fusion if ranking.mode == "hybrid" else ranking.mode
    statement = _SQL.format(
        walk="" if ranking.is_exact or not has_semantic_leg else _WALK.format(**parts),
        semantic=_SEMANTIC.format(distance=distance, **parts) if has_semantic_leg else _NO_SEMANTIC,
        lexical=_NO_LEXICAL if ranking.mode == "semantic" else lexical.format(**parts),
        cosine="1 - (c.embedding <=> question.vector)" if has_vector else "NULL::float8",
        score=_SCORES[score].format(**parts),
        per_document=_PER_DOCUMENT if ranking.max_per_document else "scored",
        **parts,
    )
    parameters = {
        "language": ranking.language,
        "query": ranking.query,
        "vector": ranking.vector,
        "weight": ranking.lexical_weight,
        "limit": ranking.limit,
        "max_per_document": ranking.max_per_document,
        **ranking.where_parameters,
    }
    return statement, parameters
