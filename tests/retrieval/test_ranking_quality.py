"""On a public collection the fusion is no worse than the better of its legs."""

from typing import Any

import pytest

from retrieval.evaluation import beir, temporary_index
from retrieval.evaluation.benchmark import judged_queries, measure

_DOCUMENTS = 60
_QUESTIONS = 60
_SLACK = 0.01
"""In a sample this small a question or two may change places."""


@pytest.mark.real_model
@pytest.mark.django_db(transaction=True)
def test_the_fusion_is_as_good_as_its_better_leg(shared_data: Any) -> None:
    folder = shared_data("xquad_en")
    documents = beir.read_corpus(folder / "corpus.jsonl")[:_DOCUMENTS]
    ids = {document.id for document in documents}
    qrels = {
        query_id: grades
        for query_id, grades in beir.read_qrels(folder / "qrels" / "test.tsv").items()
        if ids >= set(grades)
    }
    queries = beir.read_queries(folder / "queries.jsonl")
    questions = judged_queries(queries, qrels, documents)[:: len(qrels) // _QUESTIONS]
    with temporary_index.own_index() as name:
        assert temporary_index.fill(name, documents) == []
        found = {
            mode: measure(name, questions, mode, top_k=20, timed=5).means for mode in ("semantic", "lexical", "hybrid")
        }
    legs = max(found["semantic"]["ndcg@10"], found["lexical"]["ndcg@10"])
    assert found["hybrid"]["ndcg@10"] >= max(0.97, legs - _SLACK)
