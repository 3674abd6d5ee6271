"""Search an index: two legs and their fusion, ranked in one SQL statement."""

import json
import logging
import re
import time
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from asgiref.sync import sync_to_async
from django.db import connection
from pgvector import Vector

from features.errors import InvalidInput
from features.text import check_text, to_json
from retrieval.embedders import get_embedder
from retrieval.errors import EmbedderUnavailable, IndexNotFound
from retrieval.models import Index
from retrieval.ranking import ranking_sql
from retrieval.signals import searched

logger = logging.getLogger(__name__)

MAX_TOP_K = 200
QUERY_MAX_CHARS = 8000


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A chunk that a search found, with its score and its rank in each leg; also answers `hit["content"]`."""

    content: str
    score: float
    metadata: dict[str, Any]
    document_id: str
    """The id the document was indexed under."""
    chunk_id: int
    title: str
    heading_path: str
    index: str
    version: int
    """The document's version number."""
    version_id: int
    semantic_score: float | None
    """Cosine of question and chunk."""
    lexical_score: float | None
    semantic_rank: int | None
    lexical_rank: int | None

    def __getitem__(self, name: str) -> Any:
        if name not in HIT_FIELDS:
            raise KeyError(name)
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name) if name in HIT_FIELDS else default

    def keys(self) -> list[str]:
        return list(HIT_FIELDS)

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in HIT_FIELDS}


HIT_FIELDS = tuple(each.name for each in fields(Hit))


class Hits(list[Hit]):
    """Hits in order, and what is to know about the search that found them."""

    def __init__(self, hits: list[Hit], *, flags: tuple[str, ...] = ()) -> None:
        super().__init__(hits)
        self.flags = flags
        """`semantic_unavailable`: the embedder was down, so words alone decided."""


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """One search, as a trace tells of it."""

    index: str
    index_id: int
    index_version: int
    query: str
    top_k: int
    filters: dict[str, Any]
    hits: list[Hit]
    flags: tuple[str, ...]
    embed_ms: float
    sql_ms: float
    is_cached: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "hits": [hit.to_dict() for hit in self.hits]}


@dataclass
class Collector:
    """Gathers the searches made while a retriever runs."""

    records: list[SearchRecord] = field(default_factory=list)


collector: ContextVar[Collector | None] = ContextVar("collector", default=None)


async def search(index_name: str, query: str, top_k: int = 5, filters: dict[str, Any] | None = None) -> Hits:
    """Return the best `top_k` chunks of an index for a question, best first.

    `filters` are equal values of the documents' metadata. Raise IndexNotFound, or InvalidInput for an empty
    query, a `top_k` outside 1 to 200, or a filter that is no plain value.
    """
    record = await sync_to_async(search_plain)(index_name, query, top_k, filters)
    announce(record)
    return Hits(record.hits, flags=record.flags)


def announce(record: SearchRecord) -> None:
    current = collector.get()
    if current is not None:
        current.records.append(record)
    searched.send(sender=None, record=record)


def search_plain(index_name: str, query: str, top_k: int = 5, filters: dict[str, Any] | None = None) -> SearchRecord:
    """Search from synchronous code: one look at the index, one run of the model, one statement."""
    filters = _check(query, top_k, filters)
    index = Index.objects.select_related("generation").filter(name=index_name).first()
    if index is None or index.generation is None:
        raise IndexNotFound(f"There is no index {str(index_name)[:100]!r}; index a document into it first.")
    started = time.perf_counter()
    vector, flags = _embed(query)
    embedded = time.perf_counter()
    statement, parameters = ranking_sql(
        generation_id=index.generation.pk,
        dimension=index.generation.dimension,
        language=index.language,
        query=query,
        identifiers=identifiers(query),
        vector=None if vector is None else Vector(vector).to_text(),
        filters=to_json(filters, "filters") if filters else None,
        top_k=top_k,
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        hits = [_hit(index.name, row) for row in cursor.fetchall()]
    return SearchRecord(
        index=index.name,
        index_id=index.pk,
        # Read before the search: a commit in between makes a cache entry look old, never new.
        index_version=index.version,
        query=query,
        top_k=top_k,
        filters=filters,
        hits=hits,
        flags=flags,
        embed_ms=round((embedded - started) * 1000, 3),
        sql_ms=round((time.perf_counter() - embedded) * 1000, 3),
    )


def _check(query: str, top_k: int, filters: dict[str, Any] | None) -> dict[str, Any]:
    if not check_text(query, "query").strip():
        raise InvalidInput("query must not be empty.")
    if len(query) > QUERY_MAX_CHARS:
        raise InvalidInput(f"query must have at most {QUERY_MAX_CHARS} characters.")
    if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= MAX_TOP_K:
        raise InvalidInput(f"top_k must be a whole number from 1 to {MAX_TOP_K}.")
    if not isinstance(filters or {}, dict):
        raise InvalidInput("filters must be an object.")
    for name, value in (filters or {}).items():
        if name.startswith("$") or isinstance(value, dict | list):
            raise InvalidInput(f"The filter {name!r} must be a plain value; operators are not known.")
    return filters or {}


def _embed(query: str) -> tuple[np.ndarray | None, tuple[str, ...]]:
    try:
        return get_embedder().embed_query(query), ()
    except EmbedderUnavailable as error:
        logger.warning("Searching by words alone: %s", error)
        return None, ("semantic_unavailable",)


_TOKEN = re.compile(r"[\w][\w.\-/]*[\w]|[\w]{3,}")


def identifiers(query: str) -> list[str]:
    """Return the words that look like codes, versions or names: what vectors are blind to."""
    return [word for word in _TOKEN.findall(query) if len(word) > 2 and any(c.isdigit() or c == "_" for c in word)][:8]


def _hit(index_name: str, row: tuple[Any, ...]) -> Hit:

    (chunk_id, document_id, version, version_id, title, heading_path, content, metadata, *scores) = row
    score, semantic_score, lexical_score, semantic_rank, lexical_rank = scores
    return Hit(
        content=content,
        score=round(score, 6),
        metadata=json.loads(metadata) if isinstance(metadata, str) else metadata,
        document_id=document_id,
        chunk_id=chunk_id,
        title=title,
        heading_path=heading_path,
        index=index_name,
        version=version,
        version_id=version_id,
        semantic_score=None if semantic_score is None else round(semantic_score, 6),
        lexical_score=None if lexical_score is None else round(lexical_score, 6),
        semantic_rank=semantic_rank,
        lexical_rank=lexical_rank,
    )
