"""A golden question may be a follow-up: it is asked after the questions before it, and travels with them."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from common.errors import InvalidInput
from retrieval.evaluation.golden import GoldenRecord, read_golden, save_golden, to_csv, to_json_lines
from retrieval.evaluation.runs import execute_run, open_run
from retrieval.models import EvaluationOutcome, GoldenQuestion, Index
from retrieval.models.golden import question_digest
from tests.factories import GoldenQuestionFactory

pytestmark = pytest.mark.django_db
ASKED = ["How much storage do the plans have?", "Is | a sign?"]


@pytest.fixture
def index(put: Any, embedder: Any) -> Index:
    put("storage", "How much storage do the plans have: 5 GB, and 100 GB.")
    put("refunds", "Refunds on the free plan take ten days.")
    return Index.objects.get(name="docs")


def test_a_run_asks_it_after_the_questions_before_it(index: Index) -> None:
    for history in ([], ASKED[:1] * 3):
        GoldenQuestionFactory.create(
            index=index, question="And on the free one?", history=history, expected_documents=["storage"],
            expected_text="",
        )  # fmt: skip
    run = open_run("docs", started_by="a test")
    execute_run(run.pk)
    assert list(EvaluationOutcome.objects.order_by("pk").values_list("rank", flat=True)) == [2, 1]


@pytest.mark.parametrize(("write", "name"), [(to_csv, "golden.csv"), (to_json_lines, "golden.jsonl")])
def test_a_file_carries_the_history(index: Index, write: Any, name: str) -> None:
    GoldenQuestionFactory.create(index=index, question="And free?", history=ASKED)
    (record,) = read_golden(write(GoldenQuestion.objects.all()).encode(), name)
    assert record.history == ASKED
    assert save_golden(index, [record]) == (0, 0)


def test_the_same_question_after_others_is_another_one(index: Index) -> None:
    records = [GoldenRecord(question="And free?", history=history, expected_text="5 GB") for history in ([], ASKED)]
    assert save_golden(index, records) == (2, 0)
    assert save_golden(index, records) == (0, 0)


def test_a_question_without_history_is_the_one_that_it_was() -> None:
    assert question_digest("How?", {}, []) == question_digest("How?", {}, [], [])
    assert question_digest("How?", {}, []) == "f82a686bfeacd3df69f7cb13f88dea79c52dd0882f3aa2123f008463d79b26e2"


def test_a_question_of_several_lines_is_kept_in_one() -> None:
    assert GoldenRecord(question="And?", history=["a\nb"], expected_text="x").history == ["a b"]


@pytest.mark.parametrize(
    "history", ["text", [1], [""], [" "], ["x" * 8001], ["a\x00"], ["x"] * 51, None, {"a": 1}], ids=str
)
def test_a_history_that_is_none_is_refused_by_name(history: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^history"):
        GoldenRecord(question="And?", history=history, expected_text="x")


def test_the_admin_edits_it_a_question_on_each_line(admin_client: Client, index: Index) -> None:
    form = {
        "index": index.pk, "question": "And free?", "history": "Which plans?\n\nReally?\nReally?\n",
        "expected_documents": "storage", "expected_text": "", "filters": "{}", "audience": "", "tags": "",
        "is_enabled": "on",
    }  # fmt: skip
    added = admin_client.post(reverse("admin:retrieval_goldenquestion_add"), form)
    assert added.status_code == 302, added.context["errors"]
    row = GoldenQuestion.objects.get()
    assert row.history == ["Which plans?", "Really?", "Really?"]
    page = admin_client.get(reverse("admin:retrieval_goldenquestion_change", args=[row.pk])).content.decode()
    assert "Which plans?\nReally?\nReally?" in page
    listed = admin_client.get(reverse("admin:retrieval_goldenquestion_changelist")).content.decode()
    assert "after: Really?" in listed


def test_an_old_file_has_no_history() -> None:
    (record,) = read_golden(json.dumps({"question": "How?", "expected_text": "So."}).encode(), "golden.jsonl")
    assert record.history == []
