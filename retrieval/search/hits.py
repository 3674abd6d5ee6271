"""The results of a search: hits, and the record of the search for traces."""

from dataclasses import dataclass, field, fields
from typing import Any

from common.links import page_link
from retrieval.search.questions import Embedding

DEGRADED_FLAGS = frozenset({"semantic_unavailable", "rerank_unavailable"})
"""Flags of an outage; such a result is not cached, and its context reports the flag."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A chunk that a search found, with its score and its rank in each leg.

    It also answers `hit["content"]`, `hit.get("content")` and `dict(hit)`, with all names of HIT_FIELDS.
    """

    content: str
    """The chunk's text, with its neighbours if the search has `expand`."""
    score: float
    """Greater is better; comparable within one search only."""
    metadata: dict[str, Any]
    document_id: str
    """The id under which the document was indexed."""
    chunk_id: int
    title: str
    heading_path: str
    index: str
    version: int
    """The document's version number."""
    version_id: int
    position: int
    """The chunk's index in its document, from 0."""
    semantic_score: float | None
    """Cosine similarity of query and chunk."""
    lexical_score: float | None
    """BM25 divided by the query's greatest possible BM25, 0 to 1."""
    semantic_rank: int | None
    """From 1; None if this leg did not find it."""
    lexical_rank: int | None
    """From 1; None if this leg did not find it."""
    rerank_score: float | None = None
    """The reranker's score, on its own scale."""
    duplicates: tuple[str, ...] = ()
    """Documents with a passage that says the same; their hits were left out."""

    @property
    def url(self) -> str:
        """The page that the passage is from: an http or https address, or a path of this site; "" without one."""
        return page_link(self.metadata.get("url"))

    def __getitem__(self, name: str) -> Any:
        if name not in HIT_FIELDS:
            raise KeyError(name)
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field, or the default for a name that is none."""
        return getattr(self, name) if name in HIT_FIELDS else default

    def keys(self) -> list[str]:
        return list(HIT_FIELDS)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return {name: getattr(self, name) for name in HIT_FIELDS}


HIT_FIELDS = tuple(field_.name for field_ in fields(Hit))


class Hits(list[Hit]):
    """The hits of a search, best first, with the flags of what was degraded; a list otherwise."""

    def __init__(self, hits: list[Hit], *, flags: tuple[str, ...] = ()) -> None:
        super().__init__(hits)
        self.flags = flags
        """`semantic_unavailable`: the embedder was down, so only the lexical leg ranked. `lexical_empty`: no word of
        the query is in the index, so only vectors ranked. `rerank_unavailable`: the reranker failed or was too slow.
        `short`: fewer chunks match than were requested; all of them are here."""


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """One search, as traces record it."""

    index: str
    index_id: int
    index_version: int
    query: str
    top_k: int
    filters: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    """The other options of the search, with the mode and the weight that it ranked with."""
    hits: list[Hit]
    flags: tuple[str, ...]
    embed_ms: float
    sql_ms: float
    rerank_ms: float = 0.0
    is_cached: bool = False
    embedding: Embedding | None = None
    """The embedding of the query itself; None if words alone ranked. It is no part of the trace."""
    best_score: float | None = None
    """The best hit's score before reranking; None without a hit."""
    threshold: float | None = None
    """The index's, where this search's scores can be compared with it; see retrieval.search.execute."""

    @property
    def is_confident(self) -> bool | None:
        """Return whether the index holds an answer, as far as scores tell; None where they do not tell."""
        if self.threshold is None:
            return None
        return self.best_score is not None and self.best_score >= self.threshold

    def to_dict(self) -> dict[str, Any]:
        """Return the search as JSON for the trace: all but the query's embedding."""
        found = {**vars(self), "hits": [hit.to_dict() for hit in self.hits], "is_confident": self.is_confident}
        del found["embedding"]
        return found


@dataclass
class Collector:
    """Collects the records of the searches made while a retriever runs."""

    records: list[SearchRecord] = field(default_factory=list)
