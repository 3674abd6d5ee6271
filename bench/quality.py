"""How well public collections are ranked: hybrid beside the better leg, semantic beside the bare embedder."""

import os
from pathlib import Path

import numpy as np
from asgiref.sync import sync_to_async

from bench.figures import Goal, Row, Spread, say
from retrieval.embedders import get_embedder
from retrieval.evaluation import beir, metrics, temporary_index
from retrieval.evaluation.benchmark import JudgedQuery, judged_queries
from retrieval.evaluation.benchmark import measure as measure_mode

DATA = Path(os.environ.get("FABRA_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
_COLLECTIONS = {"xquad_en": 1190, "scifact": 300}
"""Collections in the BEIR format, and how many of their test queries are run."""


async def measure(*, is_quick: bool) -> list[Row]:
    rows = []
    for name, limit in _COLLECTIONS.items():
        if is_quick and name != "xquad_en":
            continue
        if not is_there(name):
            continue
        rows += await sync_to_async(_measure)(name, 200 if is_quick else limit)
    return rows


def is_there(name: str) -> bool:
    """Return whether a collection is there to be measured; say so if it is not."""
    if (DATA / name).exists():
        return True
    say(f"{name} is not in {DATA} (FABRA_TEST_DATA): skipped.")
    return False


def _measure(name: str, limit: int) -> list[Row]:
    folder = DATA / name
    texts, qrels = beir.read_queries(folder / "queries.jsonl"), beir.read_qrels(folder / "qrels" / "test.tsv")
    documents = beir.read_corpus(folder / "corpus.jsonl")
    queries = judged_queries(texts, qrels, documents, limit)
    with temporary_index.own_index() as index:
        temporary_index.fill(index, documents)
        found = {mode: measure_mode(index, queries, mode) for mode in ("semantic", "lexical", "hybrid")}
    legs = {mode: result.means["ndcg@10"] for mode, result in found.items()}
    say(f"{name}: " + ", ".join(f"{mode} nDCG@10 {value:.4f}" for mode, value in legs.items()))
    return [
        _row(f"nDCG@10: {name} | better leg", legs["hybrid"], max(legs["semantic"], legs["lexical"]), goal=1),
        _row(f"nDCG@10: {name}, semantic | bare", legs["semantic"], _bare_ndcg(documents, queries), goal=0.985),
    ]


def _bare_ndcg(documents: list[beir.CorpusDocument], queries: list[JudgedQuery]) -> float:
    """Return the embedder's nDCG@10 measured as published figures are: one truncated vector a document."""
    embedder = get_embedder()
    vectors = np.array(embedder.embed([f"{document.title} {document.text}" for document in documents]))
    values = []
    for query in queries:
        order = np.argsort(-(vectors @ embedder.embed_query(query.text)), kind="stable")
        values.append(metrics.ndcg([documents[position].id for position in order[:10]], query.grades, 10))
    return metrics.mean(values)


def _row(what: str, ours: float, floor: float, *, goal: float) -> Row:
    return Row(
        what=what,
        ours=Spread(p50=ours, p95=0),
        floor=Spread(p50=floor, p95=0),
        goal=Goal(ratio=goal, is_least=True),
        unit="",
        has_p95=False,
    )
