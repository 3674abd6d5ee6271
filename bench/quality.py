"""How well hybrid search ranks public collections, beside the better of its two legs."""

import os
from pathlib import Path

from asgiref.sync import sync_to_async

from bench.figures import Goal, Row, Spread, say
from retrieval.evaluation import beir, workbench
from retrieval.evaluation.benchmark import measure as measure_mode
from retrieval.evaluation.benchmark import questions_of

_DATA = Path(os.environ.get("FABRA_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
_COLLECTIONS = {"xquad_en": 1190, "scifact": 300}
"""Collections in the BEIR format, and how many of their test questions are asked."""


async def measure(*, is_quick: bool) -> list[Row]:
    rows = []
    for name, limit in _COLLECTIONS.items():
        if is_quick and name != "xquad_en":
            continue
        if not (_DATA / name).exists():
            say(f"{name} is not in {_DATA} (FABRA_TEST_DATA): skipped.")
            continue
        rows += await sync_to_async(_measure)(name, 200 if is_quick else limit)
    return rows


def _measure(name: str, limit: int) -> list[Row]:
    folder = _DATA / name
    queries, qrels = beir.read_queries(folder / "queries.jsonl"), beir.read_qrels(folder / "qrels" / "test.tsv")
    documents = beir.read_corpus(folder / "corpus.jsonl")
    questions = questions_of(queries, qrels, documents, limit)
    with workbench.own_index() as index:
        workbench.fill(index, documents)
        found = {mode: measure_mode(index, questions, mode) for mode in ("semantic", "lexical", "hybrid")}
    legs = {mode: result.means["ndcg@10"] for mode, result in found.items()}
    say(f"{name}: " + ", ".join(f"{mode} nDCG@10 {value:.4f}" for mode, value in legs.items()))
    best = max(legs["semantic"], legs["lexical"])
    return [
        Row(
            what=f"nDCG@10: {name}, floor: better leg",
            ours=Spread(p50=legs["hybrid"], p95=0),
            floor=Spread(p50=best, p95=0),
            goal=Goal(ratio=1, is_least=True),
            unit="",
            has_p95=False,
        )
    ]
