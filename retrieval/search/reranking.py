"""Put the best hits in a reranker's order."""

import logging
from dataclasses import replace

from retrieval.errors import RerankerUnavailable
from retrieval.rerankers import scores_in_time
from retrieval.search.hits import Hit

logger = logging.getLogger(__name__)


def rerank_hits(query: str, hits: list[Hit]) -> tuple[list[Hit], tuple[str, ...]]:
    """Return the hits in the reranker's order, and flags; the original order and a flag if it fails or is too slow."""
    if not hits:
        return hits, ()
    try:
        scores = scores_in_time(query, [hit.content for hit in hits])
    except RerankerUnavailable as error:
        logger.warning("Hits are not reranked: %s", error)
        return hits, ("rerank_unavailable",)
    order = sorted(range(len(hits)), key=lambda n: -scores[n])
    return [replace(hits[n], rerank_score=round(float(scores[n]), 6)) for n in order], ()
