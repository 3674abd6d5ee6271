"""Search an index: a semantic and a lexical leg and their fusion, ranked in one SQL statement."""

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
from common.text import single_line
from retrieval.embedders import embedder_of
from retrieval.errors import EmbedderUnavailable, TextRefused
from retrieval.rerankers import CANDIDATES as RERANKED
from retrieval.search.history import embed_questions, weighted_vector, weights_of
from retrieval.search.hits import Collector, Hit, Hits, SearchRecord
from retrieval.search.postprocess import collapse, expand_hits
from retrieval.search.query import Query, SearchOptions, check_query
from retrieval.search.questions import Embedding
from retrieval.search.ranking import MAX_MATCHING, Ranking, candidate_count, occurrences_sql, ranking_sql
from retrieval.search.reranking import rerank_hits
from retrieval.search.selectivity import is_selective
from retrieval.signals import searched

logger = logging.getLogger(__name__)

_SPARE = 3
"""Hits ranked beyond the number requested, to replace those that say the same as another."""
_DEPTH_FACTOR = 8
"""How many times as deep each further pass reads."""
_EXACT_DIVISOR = 10
"""From a tenth of an index on, an exact scan of all chunks costs less than that many steps through the HNSW graph."""

# A context variable, because a retriever's function does not pass the collector on to the searches that it makes.
collector: ContextVar[Collector | None] = ContextVar("collector", default=None)


async def search(
    index_name: str,
    query: str,
    top_k: int = 5,
    filters: dict[str, Any] | None = None,
    **options: Unpack[SearchOptions],
) -> Hits:
    """Return the best `top_k` chunks of an index for a query, best first.

    `filters` are conditions on the documents' metadata, see retrieval.search.filters; `options` see SearchOptions.
    Raise IndexNotFound, or InvalidInput for an empty query, a `top_k` outside 1 to 200, or a filter or an option that
    is not known.
    """
    record = await sync_to_async(search_sync)(index_name, query, top_k, filters, **options)
    report_search(record)
    return Hits(record.hits, flags=record.flags)


def report_search(record: SearchRecord) -> None:
    """Add a search to the current collector, if there is one, and send it with the signal `searched`."""
    current = collector.get()
    if current is not None:
        current.records.append(record)
    searched.send(sender=None, record=record)


def search_sync(
    index_name: str,
    query: str,
    top_k: int = 5,
    filters: dict[str, Any] | None = None,
    **options: Unpack[SearchOptions],
) -> SearchRecord:
    """Search from synchronous code: one look-up of the index, one run of the model, one ranking statement.

    Raise as `search` does.
    """
    return execute_query(check_query(index_name, query, top_k, filters, **options))


def execute_query(query: Query) -> SearchRecord:
    """Search the generation that the query's index names."""
    started = time.perf_counter()
    query, vector, flags = _embed(query)
    embedded = time.perf_counter()
    hits = _best_hits(query, vector)
    if not hits or all(hit.lexical_rank is None for hit in hits):
        if query.mode == "lexical":
            # No word of the query is in the index: return the nearest in meaning instead of nothing, flagged.
            query, vector, flags = _embed(replace(query, mode="semantic"))
            hits = _best_hits(query, vector) if vector is not None else []
            flags += ("lexical_empty",)
        elif query.mode == "hybrid":
            flags += ("lexical_empty",)
    ranked = time.perf_counter()
    best_score = hits[0].score if hits else None
    if query.rerank:
        hits, reranker_flags = rerank_hits(query.text, hits)
        flags += reranker_flags
    reranked = time.perf_counter()
    if len(hits) < query.top_k:
        flags += ("short",)
    hits = hits[: query.top_k]
    if query.expand:
        hits = expand_hits(hits, query.expand)
    return SearchRecord(
        index=query.index.name,
        index_id=query.index.pk,
        # Read before the search, so that a commit in between makes a cache entry outdated, never too new.
        index_version=query.index.version,
        query=query.text,
        top_k=query.top_k,
        filters=query.filters,
        options=query.options(),
        hits=hits,
        flags=flags,
        embed_ms=_ms(embedded - started),
        sql_ms=_ms(ranked - embedded),
        rerank_ms=_ms(reranked - ranked),
        embedding=query.embedding,
        best_score=best_score,
        threshold=query.threshold() if _is_comparable(query, flags) else None,
    )


def _is_comparable(query: Query, flags: tuple[str, ...]) -> bool:
    """Return whether the best score tells what it told when the index's threshold was set.

    Without the model's part it does not, nor where filters left fewer chunks than were asked for. A small index that
    has no more of them is the one that was measured.
    """
    return "semantic_unavailable" not in flags and not ("short" in flags and query.filters)


def _embed(query: Query) -> tuple[Query, np.ndarray | None, tuple[str, ...]]:
    """Return the query with its embedding and its questions' weights, the vector of all of them, and outage flags."""
    assert query.index.generation is not None
    embedding: Embedding | None = None
    vectors: list[np.ndarray] | None = None
    flags: tuple[str, ...] = ()
    if query.mode != "lexical":
        try:
            embedder = embedder_of(query.index.generation)
            if query.history is None:
                vectors = [embedder.embed_query(query.text)]
            else:
                vectors = embed_questions(embedder, query.history, query.text)
            embedding = Embedding(model=embedder.model, vector=vectors[-1])
        except (EmbedderUnavailable, TextRefused) as error:
            logger.warning("Searching by words alone: %s", error)
            flags = ("semantic_unavailable",)
    weights = weights_of(query.history or (), query.text, vectors, query.index.language)
    vector, agreement = (None, 1.0) if vectors is None else weighted_vector(vectors, weights)
    return replace(query, embedding=embedding, weights=tuple(weights), agreement=agreement), vector, flags


def _best_hits(query: Query, vector: np.ndarray | None) -> list[Hit]:
    """Return the hits in order, as many as requested unless no more match.

    The first pass reads the approximate legs. Further passes run only while hits are missing, for one of the three
    numbered reasons.
    """
    if vector is None and query.mode == "semantic":
        query = replace(query, mode="lexical")
    wanted = max(query.top_k, RERANKED) if query.rerank else query.top_k
    index = query.index
    assert index.generation is not None
    is_exact = not index.generation.has_hnsw or is_selective(index.generation.pk, index.chunk_count, query.where)
    limit = wanted + _SPARE
    candidates = max(candidate_count(index.chunk_count, is_filtered=bool(query.filters)), limit)
    while True:
        ranking = query.ranking(vector, is_exact=is_exact, limit=limit, candidates=candidates)
        hits = _run(query, ranking)
        best = collapse(hits)[:wanted]
        if len(best) >= wanted or (len(hits) < limit and _has_read_all(ranking)):
            return best
        if len(hits) >= limit:
            # 1. Hits that say the same took the ranks: read deeper.
            limit *= _DEPTH_FACTOR
            candidates = max(candidates, limit)
            is_exact = is_exact or candidates * _EXACT_DIVISOR > index.chunk_count
        elif query.max_per_document and candidates < index.chunk_count:
            # 2. The candidates belong to too few documents: take more candidates.
            limit, candidates = limit * _DEPTH_FACTOR, max(candidates, limit) * _DEPTH_FACTOR
            is_exact = is_exact or candidates * _EXACT_DIVISOR > index.chunk_count
        elif not is_exact:
            # 3. The approximate legs found too few chunks that pass the filters: score every chunk.
            is_exact = True
        else:
            return best


def _has_read_all(ranking: Ranking) -> bool:
    """Return whether the ranking, which has less than its limit of hits, had every chunk with a word of the query.

    Only where nothing but words was asked for, and they are so rare that the GIN was asked for each of them. Of a few
    chunks for each document no more than were candidates can be told from those that were none.
    """
    if ranking.has_semantic_leg:
        return False
    with connection.cursor() as cursor:
        cursor.execute(*occurrences_sql(ranking))
        (occurrences,) = cursor.fetchone()
    most = ranking.lexical_candidates if ranking.max_per_document else MAX_MATCHING
    return bool(occurrences <= min(ranking.reach, most))


def _run(query: Query, ranking: Ranking) -> list[Hit]:
    # The best plan depends on how many chunks a filter leaves; without filters one cached plan serves all queries.
    with connection.cursor() if query.filters else planned_cursor() as cursor:
        cursor.execute(*ranking_sql(ranking))
        return list(_hits(query.index.name, cursor.fetchall()))


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
            title=single_line(title),
            heading_path=single_line(heading_path),
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
