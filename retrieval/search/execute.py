"""Search an index: two legs and their fusion, ranked in one SQL statement."""

import json
import logging
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Unpack

import numpy as np
from asgiref.sync import sync_to_async
from django.db import connection

from common.sql.statements import planned_cursor
from retrieval.embedders import embedder_of
from retrieval.errors import EmbedderUnavailable
from retrieval.rerankers import CANDIDATES as RERANKED
from retrieval.rerankers import rerank_hits
from retrieval.search.hits import Collector, Hit, Hits, SearchRecord
from retrieval.search.postprocess import collapse, expand_hits
from retrieval.search.query import Question, SearchOptions, ask
from retrieval.search.ranking import Ranking, depth, ranking_sql
from retrieval.search.selectivity import is_selective
from retrieval.signals import searched

logger = logging.getLogger(__name__)

_SPARE = 3
"""Hits ranked beyond those asked for, in place of near-duplicates."""

collector: ContextVar[Collector | None] = ContextVar("collector", default=None)


async def search(
    index_name: str,
    query: str,
    top_k: int = 5,
    filters: dict[str, Any] | None = None,
    **options: Unpack[SearchOptions],
) -> Hits:
    """Return the best `top_k` chunks of an index for a question, best first.

    `filters` are conditions on the documents' metadata, see retrieval.search.filters; `options` see SearchOptions.
    Raise IndexNotFound, or InvalidInput for an empty query, a `top_k` outside 1 to 200, or a filter or an option that
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
    index = question.index
    assert index.generation is not None
    is_exact = not index.generation.has_hnsw or is_selective(index.generation.pk, index.chunk_count, question.where)
    limit = wanted + _SPARE
    candidates = max(depth(index.chunk_count, is_filtered=bool(question.filters)), limit)
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
    # The best plan depends on what a filter leaves; all else is the same for each question.
    with connection.cursor() if question.filters else planned_cursor() as cursor:
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
