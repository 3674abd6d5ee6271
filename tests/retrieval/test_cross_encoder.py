"""A cross-encoder's files, read by fastembed and run by ONNX Runtime, order the hits."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from retrieval import rerankers
from retrieval.errors import RerankerUnavailable
from retrieval.search.execute import search_sync
from tests.retrieval.cross_encoder import write_cross_encoder

WORDS = ["where", "is", "the", "blue", "boat", "harbour", "today"]
TEXTS = {
    "none": "# Weather\n\nRain and wind all day.",
    "one": "# Boat\n\nA boat.",
    "three": "# Places\n\nThe blue boat lies far away from here.",
    "five": "# Berths\n\nWhere the blue boat is, nobody asks.",
}
QUESTION = "where is the blue boat"


@pytest.fixture
def configured(settings: Any, tmp_path: Path) -> Iterator[Path]:
    settings.FABRA_RERANK_MODEL, settings.FABRA_RERANK_PATH = "our-own/common-words", str(tmp_path)
    settings.FABRA_RERANK_TIMEOUT = 30.0
    rerankers._load.cache_clear()
    yield tmp_path
    rerankers._load.cache_clear()


@pytest.fixture
def indexed(put: Any) -> None:
    for name, text in TEXTS.items():
        put(name, text)


@pytest.mark.django_db
@pytest.mark.parametrize("file", ["onnx/model.onnx", "model.onnx"])
def test_it_orders_the_hits_by_what_it_read(configured: Path, indexed: None, file: str) -> None:
    write_cross_encoder(configured, WORDS, file=file)
    record = search_sync("docs", QUESTION, 3, rerank=True)
    assert [(hit.document_id, hit.rerank_score) for hit in record.hits] == [("five", 5), ("three", 3), ("one", 2)]
    assert record.flags == () and record.rerank_ms > 0


def test_a_text_is_scored_the_same_in_any_company_and_one_that_is_too_long_is_cut(configured: Path) -> None:
    write_cross_encoder(configured, WORDS)
    reranker = rerankers.get_reranker()
    texts = ["boat", "the blue boat " * 3, "", "unknown words only", "harbour " * 1000 + "boat", "boat " * 1000]
    together = reranker.scores(QUESTION, texts)
    assert together == [reranker.scores(QUESTION, [text])[0] for text in texts]
    assert together[:5] == [1, 9, 0, 0, 0]
    assert 20 < together[5] < 32, "as many words as the model reads beside the question"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "onnx/model.onnx").unlink(), "has no onnx/model.onnx or model.onnx"),
        (lambda folder: (folder / "onnx/model.onnx").write_bytes(b"no model"), "cannot be read"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "cannot be read"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("{}"), "cannot be read"),
    ],
)
def test_a_model_that_is_not_whole_leaves_the_ranking_as_it_was(
    configured: Path, indexed: None, damage: Any, reason: str
) -> None:
    damage(write_cross_encoder(configured, WORDS))
    with pytest.raises(RerankerUnavailable, match=reason):
        rerankers.get_reranker()
    record = search_sync("docs", QUESTION, 3, rerank=True)
    assert record.flags == ("rerank_unavailable",)
    assert record.hits == search_sync("docs", QUESTION, 3).hits
    write_cross_encoder(configured, WORDS)  # put right, it needs no restart
    assert search_sync("docs", QUESTION, 3, rerank=True).flags == ()


@pytest.mark.django_db(transaction=True)
def test_an_evaluation_measures_it_beside_the_rest(configured: Path, tmp_path_factory: Any) -> None:
    write_cross_encoder(configured, WORDS)
    folder = tmp_path_factory.mktemp("collection")
    rows = [{"_id": name, "title": "", "text": text} for name, text in TEXTS.items()]
    (folder / "corpus.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "1", "text": QUESTION}))
    (folder / "qrels.tsv").write_text("1\tfive\t1\n")
    out = StringIO()
    call_command(
        "evaluate_retrieval", corpus=folder / "corpus.jsonl", queries=folder / "queries.jsonl",
        qrels=folder / "qrels.tsv", json=True, stdout=out, stderr=StringIO(),
    )  # fmt: skip
    results = json.loads(out.getvalue())
    assert set(results) == {"semantic", "lexical", "hybrid", "hybrid+rerank"}
    assert results["hybrid+rerank"]["ndcg@10"] == 1 and results["hybrid+rerank"]["flags"] == {}
