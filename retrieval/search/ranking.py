"""Build the ranking of chunks for a query, as one SQL statement.

The best chunks of each leg are the candidates, and both scores are computed for all of them. The semantic score is the
cosine of query and chunk. The lexical score is BM25 (Robertson and Zaragoza 2009, k1 = 1.2, b = 0.75, idf as
in Lucene: ln(1 + (N - df + 0.5) / (df + 0.5))) divided by the query's greatest possible BM25, so from 0 to 1:
a weak lexical match changes the order little. Fusion adds both scores, or takes reciprocal ranks (Cormack et al. 2009).

The sum is `cosine + weight * rarity ** 1.25 * lexical`, where `rarity` is the idf of the rarest lexeme that chunk and
query share, divided by the idf of a lexeme of a single chunk. A short question in other words than the documents'
shares few and common words with any chunk, most of them by chance; in BM25 as a share of the question's greatest they
weigh as much as the right words of a short question in the documents' words. How rare a shared word is tells them
apart, where the number of the question's words does not: scaled by that (`min(1, n / 8)`), a name or a code that is
asked for alone loses to any likeness. docs/evaluation.md has the figures.

A chunk's `weights` hold BM25's share of each lexeme at a length norm of 100 lexemes. They choose the lexical leg's
candidates; the score itself is then computed with the generation's own average length, as of this snapshot.

The statement is in `sql/`, with the reason for each step; this module fills it in.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings

CANDIDATES = 80
"""Candidates of each leg, for up to 100,000 chunks; see `candidate_count`."""
FILTERED_CANDIDATES = 200
"""A filter needs high recall: both legs are read deeper where it leaves too many chunks for an exact scan."""
EF_SEARCH, MAX_EF_SEARCH = 1.6, 1000
"""hnsw.ef_search for each candidate, and the most that pgvector allows."""
MAX_TERMS = 48
MAX_COMMON = 6
MAX_READ = 40_000
"""Chunks that the GIN may read for the first of the common lexemes."""
MAX_MATCHING = 10_000
RRF_K = 60

RARITY_POWER = 1.25
"""The power of the idf for a question by itself. The words of a conversation are many, and its follow-ups are found
better without: nDCG@10 on 134 of them 0.918, with the power 0.909."""

_NEAR = "c.embedding::halfvec({dimension}) <=> (SELECT half FROM query)"
_EXACT = "c.embedding <=> (SELECT vector FROM query)"
# Within the statement, so that it is set for this statement alone. pgvector reads it after it has read the vector.
_SET_EF_SEARCH = ", set_config('hnsw.ef_search', '{ef_search}', true)"
_NO_SEMANTIC_LEG = "SELECT NULL::tid AS row_id, NULL::bigint AS rank WHERE false"
_NO_LEXICAL_LEG = "SELECT NULL::tid AS row_id WHERE false"
_SCORES = {
    "weighted": "coalesce(cosine, 0) + %(weight)s::float8 * power(rarity, %(rarity_power)s::float8) * bm25",
    "rrf": "coalesce(1.0 / ({k} + semantic_rank), 0) + coalesce(1.0 / ({k} + lexical_rank), 0)",
    "semantic": "cosine",
    "lexical": "bm25",
}
_PER_DOCUMENT = """(
        SELECT *, row_number() OVER (PARTITION BY document_id ORDER BY score DESC, id) AS document_rank FROM scored
    ) documents WHERE document_rank <= %(max_per_document)s"""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The parameters of the ranking of one query in one generation."""

    generation_id: int
    dimension: int
    language: str
    queries: list[tuple[str, float]]
    """The words of the query, and of earlier questions, each with its weight; see query_words."""
    other_spellings: list[str] = field(default_factory=list)
    """Lexemes among these words that count only where the index has them."""
    vector: str | None
    """The query's embedding as a pgvector literal; None leaves the semantic leg out."""
    mode: str = "hybrid"
    fusion: str = "weighted"
    lexical_weight: float
    where: str = ""
    """Conditions on the chunk `c`, each with a leading AND."""
    where_parameters: dict[str, Any]
    is_exact: bool = False
    """Score every chunk that `where` leaves, without the generation's HNSW and GIN."""
    candidates: int = CANDIDATES
    """The most candidates of each leg."""
    limit: int
    max_per_document: int | None = None

    @property
    def has_semantic_leg(self) -> bool:
        return self.vector is not None and self.mode != "lexical"

    @property
    def lexical_candidates(self) -> int:
        return 2 * int(self.candidates)

    @property
    def reach(self) -> int:
        """The number of chunks, added up, up to which the query's rarest lexemes are all looked for."""
        return settings.FABRA_LEXICAL_REACH * int(self.candidates)


def candidate_count(chunk_count: int, *, is_filtered: bool) -> int:
    """Return how many candidates to take of each leg: the more chunks, the closer together the best scores are."""
    least = FILTERED_CANDIDATES if is_filtered else CANDIDATES
    return round(least * max(1.0, chunk_count / 100_000) ** 0.5)


def ranking_sql(ranking: Ranking) -> tuple[str, dict[str, Any]]:
    """Return the statement and its parameters.

    The generation is a literal, since the planner uses its partial indexes only then.
    """
    parts = _parts(ranking)
    has_vector = ranking.vector is not None
    score = ranking.fusion if ranking.mode == "hybrid" else ranking.mode
    ef_search = min(round(EF_SEARCH * ranking.candidates), MAX_EF_SEARCH)
    is_approximate = ranking.has_semantic_leg and not ranking.is_exact
    statement = _read("ranking").format(
        terms=_read("terms").format(**parts),
        set_ef_search=_SET_EF_SEARCH.format(ef_search=ef_search) if is_approximate else "",
        semantic_leg=_semantic_leg(ranking, parts) if ranking.has_semantic_leg else _NO_SEMANTIC_LEG,
        lexical_leg=_NO_LEXICAL_LEG if ranking.mode == "semantic" else _lexical_leg(ranking, parts),
        cosine="1 - (c.embedding <=> query.vector)" if has_vector else "NULL::float8",
        score=_SCORES[score].format(**parts),
        per_document=_PER_DOCUMENT if ranking.max_per_document else "scored",
        **parts,
    )
    parameters = {
        **_words(ranking),
        "vector": ranking.vector,
        "weight": ranking.lexical_weight,
        "rarity_power": RARITY_POWER if len(ranking.queries) == 1 else 0.0,
        "limit": ranking.limit,
        "max_per_document": ranking.max_per_document,
        **ranking.where_parameters,
    }
    return statement, parameters


def lexical_query_sql(ranking: Ranking) -> tuple[str, dict[str, Any]]:
    """Return the statement that only chooses the lexemes, and its parameters; its result is the tsquery."""
    return _of_terms(ranking, f"SELECT * FROM ({_read('lexical_query').format(**_parts(ranking))}) choice")


def occurrences_sql(ranking: Ranking) -> tuple[str, dict[str, Any]]:
    """Return the statement that adds up the document frequencies of the query's lexemes, and its parameters."""
    return _of_terms(ranking, "SELECT coalesce(sum(df), 0) FROM term")


def _of_terms(ranking: Ranking, statement: str) -> tuple[str, dict[str, Any]]:
    return f"WITH {_read('terms').format(**_parts(ranking))} {statement}", _words(ranking)


def _words(ranking: Ranking) -> dict[str, Any]:
    return {
        "language": ranking.language,
        "queries": [words for words, _ in ranking.queries],
        "shares": [weight for _, weight in ranking.queries],
        "other_spellings": ranking.other_spellings,
    }


def _parts(ranking: Ranking) -> dict[str, Any]:
    return {
        "generation": int(ranking.generation_id),
        "dimension": int(ranking.dimension),
        "where": ranking.where,
        "candidates": int(ranking.candidates),
        "lexical_candidates": ranking.lexical_candidates,
        "reach": ranking.reach,
        "max_terms": MAX_TERMS,
        "max_common": MAX_COMMON,
        "max_read": MAX_READ,
        "max_matching": MAX_MATCHING,
        "k": RRF_K,
    }


def _semantic_leg(ranking: Ranking, parts: dict[str, Any]) -> str:
    distance = (_EXACT if ranking.is_exact else _NEAR).format(**parts)
    return _read("semantic_leg").format(distance=distance, **parts)


def _lexical_leg(ranking: Ranking, parts: dict[str, Any]) -> str:
    if ranking.is_exact:
        return _read("exact_lexical_leg").format(**parts)
    return _read("lexical_leg").format(lexical_query=_read("lexical_query").format(**parts), **parts)


@cache
def _read(name: str) -> str:
    """Return a statement of `sql/` without its comments, which PostgreSQL would otherwise parse for each search."""
    text = (Path(__file__).parent / "sql" / f"{name}.sql").read_text()
    lines = (line.partition("--")[0].rstrip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)
