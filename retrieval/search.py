"""Search an index: two legs and their fusion, ranked in one SQL statement."""

import json
import logging
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
from asgiref.sync import sync_to_async
from django.db import connection
from pgvector import Vector

from features.errors import InvalidInput
from features.text import check_text
from retrieval.embedders import embedder_of
from retrieval.errors import EmbedderUnavailable, IndexNotFound
from retrieval.filters import Audience, Conditions, check_audience, conditions
from retrieval.hits import Collector, Hit, Hits, SearchRecord
from retrieval.lexemes import lexical_text
from retrieval.models import Index
from retrieval.ranking import CANDIDATES, Ranking, ranking_sql
from retrieval.refine import collapse, expand_hits
from retrieval.rerankers import CANDIDATES as RERANKED
from retrieval.rerankers import rerank_hits
from retrieval.selectivity import is_selective
from retrieval.signals import searched

__all__ = ["MAX_TOP_K", "Collector", "Hit", "Hits", "SearchOptions", "SearchRecord", "search", "search_plain"]

logger = logging.getLogger(__name__)

MAX_TOP_K = 200
MAX_EXPAND = 5
MAX_LEXICAL_WEIGHT = 10
QUERY_MAX_CHARS = 8000
_SPARE = 3
"""Hits ranked beyond those asked for, in place of near-duplicates."""

_LIMITS = {
    "lexical_weight": (0, MAX_LEXICAL_WEIGHT),
    "max_per_document": (1, MAX_TOP_K),
    "expand": (0, MAX_EXPAND),
}

Mode = Literal["hybrid", "semantic", "lexical"]
Fusion = Literal["weighted", "rrf"]


class SearchOptions(TypedDict, total=False):
    """How to search; what is left out is as the index is configured."""

    audience: Audience
    """Find also documents for these; without it, only those for everyone."""
    mode: Mode | None
    fusion: Fusion | None
    lexical_weight: float | None
    """What a perfect lexical score is worth beside a cosine of 1, from 0 to 10."""
    max_per_document: int | None
    expand: int
    """Join so many neighbours on each side to a hit's content, 0 to 5."""
    rerank: bool | None


@dataclass(frozen=True, kw_only=True)
class Question:
    """A checked question to one index, with how it shall be answered."""

    index: Index
    text: str
    top_k: int
    filters: dict[str, Any]
    where: Conditions
    audience: list[str] | str
    mode: Mode
    fusion: Fusion
    lexical_weight: float
    max_per_document: int | None
    expand: int
    rerank: bool

    def ranking(self, vector: np.ndarray | None, *, is_exact: bool, limit: int, candidates: int) -> Ranking:
        generation = self.index.generation
        assert generation is not None
        return Ranking(
            generation_id=generation.pk,
            dimension=generation.dimension,
            language=self.index.language,
            query=lexical_text(self.text),
            vector=None if vector is None else Vector(vector).to_text(),
            mode=self.mode,
            fusion=self.fusion,
            lexical_weight=self.lexical_weight,
            where=self.where.sql,
            where_parameters=self.where.parameters,
            is_exact=is_exact,
            candidates=candidates,
            limit=limit,
            max_per_document=self.max_per_document,
        )

    def options(self) -> dict[str, Any]:
        names = ("audience", "mode", "fusion", "lexical_weight", "max_per_document", "expand", "rerank")
        return {name: getattr(self, name) for name in names}


collector: ContextVar[Collector | None] = ContextVar("collector", default=None)


async def search(
    index_name: str,
    query: str,
    top_k: int = 5,
    filters: dict[str, Any] | None = None,
    **options: Unpack[SearchOptions],
) -> Hits:
    """Return the best `top_k` chunks of an index for a question, best first.

    `filters` are conditions on the documents' metadata, see retrieval.filters; `options` see SearchOptions. Raise
    IndexNotFound, or InvalidInput for an empty query, a `top_k` outside 1 to 200, or a filter or an option that
    is not known.
    """
    record = await sync_to_async(search_plain)(index_name, query, top_k, filters, **options)
    announce(record)
    return Hits(record.hits, flags=record.flags)


def announce(record: SearchRecord) -> None:
    current = collector.get()
    if current is not None:
        current.records.append(record)
    searched.send(sender=None, record=record)


def search_plain(
    index_name: str,
    query: str,
    top_k: int = 5,
    filters: dict[str, Any] | None = None,
    **options: Unpack[SearchOptions],
) -> SearchRecord:
    """Search from synchronous code: one look at the index, one run of the model, one statement."""
    return answer(ask(index_name, query, top_k, filters, **options))


def answer(question: Question) -> SearchRecord:
    """Search for a question by the generation that its index names."""
    query, top_k = question.text, question.top_k
    started = time.perf_counter()
    vector, flags = _embed(question)
    embedded = time.perf_counter()
    hits = _best(question, vector)
    if not hits or all(hit.lexical_rank is None for hit in hits):
        if question.mode == "lexical":
            # No word of it is there: better the nearest in meaning than nothing, and say so.
            question = replace(question, mode="semantic")
            vector, flags = _embed(question)
            hits = _best(question, vector) if vector is not None else []
            flags += ("lexical_empty",)
        elif question.mode == "hybrid":
            flags += ("lexical_empty",)
    ranked = time.perf_counter()
    if question.rerank:
        hits, reranker_flags = rerank_hits(query, hits)
        flags += reranker_flags
    reranked = time.perf_counter()
    if len(hits) < top_k:
        flags += ("short",)
    hits = hits[:top_k]
    if question.expand:
        hits = expand_hits(hits, question.expand)
    return SearchRecord(
        index=question.index.name,
        index_id=question.index.pk,
        # Read before the search: a commit in between makes a cache entry look old, never new.
        index_version=question.index.version,
        query=query,
        top_k=top_k,
        filters=question.filters,
        options=question.options(),
        hits=hits,
        flags=flags,
        embed_ms=_ms(embedded - started),
        sql_ms=_ms(ranked - embedded),
        rerank_ms=_ms(reranked - ranked),
    )


def ask(
    index_name: str,
    query: str,
    top_k: int = 5,
    filters: dict[str, Any] | None = None,
    **options: Unpack[SearchOptions],
) -> Question:
    """Return the question with the index's configuration where the options name none; raise as `search` does."""
    if not check_text(query, "query").strip():
        raise InvalidInput("query must not be empty.")
    if len(query) > QUERY_MAX_CHARS:
        raise InvalidInput(f"query must have at most {QUERY_MAX_CHARS} characters.")
    audience = options.get("audience")
    where = conditions(filters, audience)
    _check_number("top_k", top_k, 1, MAX_TOP_K)
    for name, (least, most) in _LIMITS.items():
        if options.get(name) is not None:
            _check_number(name, options[name], least, most)  # type: ignore[literal-required]
    if unknown := set(options) - set(SearchOptions.__annotations__):
        raise InvalidInput(f"Unknown options of a search: {', '.join(sorted(unknown))}.")
    index = Index.objects.select_related("generation").filter(name=index_name).first()
    if index is None or index.generation is None:
        raise IndexNotFound(f"There is no index {str(index_name)[:100]!r}; index a document into it first.")
    weight = options.get("lexical_weight")
    return Question(
        index=index,
        text=query,
        top_k=top_k,
        filters=filters or {},
        where=where,
        audience=check_audience(audience),
        mode=_one_of("mode", options.get("mode") or index.mode, Index.Mode.values),
        fusion=_one_of("fusion", options.get("fusion") or index.fusion, Index.Fusion.values),
        lexical_weight=index.lexical_weight if weight is None else weight,
        max_per_document=options.get("max_per_document"),
        expand=options.get("expand") or 0,
        rerank=index.rerank if options.get("rerank") is None else bool(options.get("rerank")),
    )


def _check_number(name: str, value: Any, least: int, most: int) -> None:
    kind, words = (int | float, "number") if name == "lexical_weight" else (int, "whole number")
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
        raise InvalidInput(f"{name} must be a {words} from {least} to {most}.")


def _one_of(name: str, value: Any, known: list[str]) -> Any:
    if value not in known:
        raise InvalidInput(f"{name} must be one of {', '.join(known)}.")
    return value


def _embed(question: Question) -> tuple[np.ndarray | None, tuple[str, ...]]:
    if question.mode == "lexical":
        return None, ()
    assert question.index.generation is not None
    try:
        return embedder_of(question.index.generation).embed_query(question.text), ()
    except EmbedderUnavailable as error:
        logger.warning("Searching by words alone: %s", error)
        return None, ("semantic_unavailable",)


def _best(question: Question, vector: np.ndarray | None) -> list[Hit]:
    """Return the hits in order, as many as asked for unless there are no more.

    The approximate legs are tried first; what they leave short is measured exactly, and what near-duplicates
    leave short is ranked deeper.
    """
    if vector is None and question.mode == "semantic":
        question = replace(question, mode="lexical")
    wanted = max(question.top_k, RERANKED) if question.rerank else question.top_k
    assert question.index.generation is not None
    is_exact = not question.index.generation.has_hnsw or is_selective(question.index.generation.pk, question.where)
    limit, candidates = wanted + _SPARE, max(CANDIDATES, wanted + _SPARE)
    while True:
        hits = _run(question, question.ranking(vector, is_exact=is_exact, limit=limit, candidates=candidates))
        best = collapse(hits)[:wanted]
        if len(best) >= wanted:
            return best
        if len(hits) >= limit or (question.max_per_document and candidates < question.index.chunk_count):
            limit, candidates = limit * 8, max(candidates, limit) * 8
        elif is_exact:
            return best
        is_exact = True


def _run(question: Question, ranking: Ranking) -> list[Hit]:
    with connection.cursor() as cursor:
        cursor.execute(*ranking_sql(ranking))
        return list(_hits(question.index.name, cursor.fetchall()))


def _hits(index_name: str, rows: list[tuple[Any, ...]]) -> Iterator[Hit]:
    for row in rows:
        (chunk_id, document_id, version, version_id, title, heading_path, content, metadata, position, *scores) = row
        score, semantic_score, lexical_score, semantic_rank, lexical_rank = scores
        yield Hit(
            content=content,
            score=round(score or 0.0, 6),
            metadata=json.loads(metadata),
            document_id=document_id,
            chunk_id=chunk_id,
            title=title,
            heading_path=heading_path,
            index=index_name,
            version=version,
            version_id=version_id,
            position=position,
            semantic_score=None if semantic_score is None else round(semantic_score, 6),
            lexical_score=None if lexical_score is None else round(lexical_score, 6),
            semantic_rank=semantic_rank,
            lexical_rank=lexical_rank,
        )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
