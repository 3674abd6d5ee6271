"""An index is calibrated by what it can answer and what it cannot, and its searches tell which of both it was."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from retrieval.errors import EmbedderUnavailable, GenerationConflict
from retrieval.evaluation import beir, temporary_index
from retrieval.evaluation.asked import AskedQuestion
from retrieval.evaluation.calibration import MOST_QUESTIONS, Questions, calibrate, questions_for
from retrieval.evaluation.golden import GoldenRecord, save_golden
from retrieval.generations import lifecycle
from retrieval.models import CalibrationRun, Generation, GoldenQuestion, Index
from retrieval.retrievers.declaration import retriever
from retrieval.search.execute import collector, search_sync
from retrieval.search.hits import Collector, Hit, SearchRecord
from tests.embedders import FragileEmbedder

SUBJECTS = (
    "invoices", "passwords", "storage", "holidays", "printers", "webhooks", "refunds", "backups", "members", "audits",
    "guests", "exports",
)  # fmt: skip
UNKNOWN = [f"Who paints zebra{number} with quince{number}?" for number in range(12)]


@pytest.fixture
def index(put: Any, embedder: Any) -> Index:
    """An index with a document and a golden question for each subject."""
    for subject in SUBJECTS:
        put(subject, f"# All about {subject}\n\nHow {subject} work, and where you find {subject}.")
    found = Index.objects.get(name="docs")
    save_golden(
        found,
        [GoldenRecord(question=f"How do {subject} work?", expected_documents=[subject]) for subject in SUBJECTS],
    )
    return found


@pytest.fixture
def unknown(tmp_path: Path) -> Path:
    file = tmp_path / "unknown.txt"
    file.write_text("\n".join(["", *UNKNOWN, "  ", UNKNOWN[0]]))
    return file


def run_command(index: str = "docs", **options: Any) -> str:
    out = StringIO()
    call_command("calibrate", index, **options, stdout=out, stderr=StringIO())
    return out.getvalue()


def refused(reason: str, **options: Any) -> CommandError:
    with pytest.raises(CommandError, match=reason) as failure:
        run_command(**options)
    return failure.value


def ask(text: str = "How do refunds work?", **options: Any) -> SearchRecord:
    return search_sync("docs", text, **options)


def set_threshold(threshold: float | None) -> None:
    index = Index.objects.select_related("generation").get(name="docs")
    index.set_threshold(threshold, index.score_basis(), by="test")


@pytest.mark.django_db
def test_it_sets_the_threshold_and_keeps_the_run(index: Index, unknown: Path) -> None:
    version = Index.objects.get().version
    found = json.loads(run_command(unanswerable=unknown, json=True))
    run = CalibrationRun.objects.get()
    now = Index.objects.get()
    assert found["threshold"] == run.threshold == now.threshold
    assert (found["answerable"], found["unanswerable"], found["is_set"]) == (12, 12, True)
    assert (found["auc"], found["refused_answerable"], found["refused_unanswerable"]) == (1.0, 0.0, 1.0)
    assert (run.rule, run.most_refused, run.sources) == ("refusals", 0.05, ["unknown.txt"])
    assert (now.threshold_run, now.threshold_set_by, now.version) == (run, "manage.py calibrate", version + 1)
    assert run.config == {"index_version": version, "generation": now.generation_id}
    assert [row["question"] for row in run.unanswerable] == UNKNOWN
    assert run.answerable[0]["document_id"] == "invoices"


@pytest.mark.django_db
def test_a_search_tells_whether_it_found_an_answer(index: Index, unknown: Path) -> None:
    assert ask().is_confident is None
    run_command(unanswerable=unknown)
    known, not_known = ask(), ask("What do zebras cost in quinces?")
    assert (known.is_confident, not_known.is_confident) == (True, False)
    assert known.best_score == known.hits[0].score
    assert known.threshold == Index.objects.get().threshold
    assert not_known.to_dict()["is_confident"] is False


@pytest.mark.django_db
def test_the_readable_report_names_the_questions_on_the_wrong_side(index: Index, unknown: Path) -> None:
    save_golden(index, [GoldenRecord(question="Where are flarps of quallers?", expected_documents=["audits"])])
    unknown.write_text("\n".join([*UNKNOWN, "Refunds about refunds?"]))
    report = run_command(unanswerable=unknown, most_refused=0.1)
    assert "13 golden questions, 13 unanswerable" in report and "is set" in report
    lines = [line.split(maxsplit=1) for line in report.splitlines()]
    assert any(first == "refused" and "Where are flarps of quallers?" in rest for first, rest in lines)
    assert any(first == "let" and "Refunds about refunds?" in rest for first, rest in lines)


@pytest.mark.django_db
def test_another_rule_chooses_another_threshold(index: Index, unknown: Path) -> None:
    save_golden(index, [GoldenRecord(question="Where are flarps of quallers?", expected_documents=["audits"])])
    strict, by_default = (
        json.loads(run_command(unanswerable=unknown, json=True, **options))
        for options in ({"most_refused": 0.0}, {"rule": "youden"})
    )
    assert strict["refused_answerable"] == 0.0 < by_default["refused_answerable"]
    assert strict["threshold"] < by_default["threshold"] and by_default["most_refused"] is None


@pytest.mark.django_db
def test_the_questions_of_all_other_indexes_are_taken_by_default(index: Index, put: Any, tmp_path: Path) -> None:
    other = Index.objects.create(name="zoo")
    records = [
        GoldenRecord(question=question, expected_text="x", filters={"a": 1}, audience=["b"]) for question in UNKNOWN
    ]
    # A question that this index is known to answer is none that it cannot answer.
    save_golden(other, [*records, GoldenRecord(question="how do  Refunds work?", expected_text="x")])
    GoldenQuestion.objects.filter(question=UNKNOWN[0]).update(is_enabled=False)
    found = json.loads(run_command(json=True))
    assert (found["unanswerable"], found["sources"]) == (11, ["golden questions of zoo"])
    file = tmp_path / "more.jsonl"
    file.write_text(json.dumps({"question": "And quinces?", "history": ["Zebras?"], "tags": ["x"]}))
    both = json.loads(run_command(json=True, unanswerable=file, from_index=["zoo"]))
    assert (both["unanswerable"], both["sources"]) == (12, ["more.jsonl", "golden questions of zoo"])


@pytest.mark.django_db
def test_measuring_alone_leaves_the_threshold(index: Index, unknown: Path) -> None:
    set_threshold(0.25)
    assert "is not set" in run_command(unanswerable=unknown, measure_only=True)
    assert (Index.objects.get().threshold, CalibrationRun.objects.count()) == (0.25, 1)


@pytest.mark.django_db
def test_questions_that_cannot_be_told_apart_leave_the_threshold(index: Index, tmp_path: Path) -> None:
    set_threshold(0.25)
    file = tmp_path / "alike.txt"
    file.write_text("\n".join(f"How do {subject} and how do {subject} work?" for subject in SUBJECTS))
    failure = refused("No threshold", unanswerable=file)
    assert (failure.returncode, Index.objects.get().threshold) == (1, 0.25)
    assert CalibrationRun.objects.get().threshold is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"index": "nowhere"}, "no index 'nowhere'"),
        ({}, "There are 0 questions that it cannot answer, and 10 are needed"),
        ({"unanswerable": Path("/nowhere.txt")}, "cannot be read: No such file"),
        ({"unanswerable": Path("/")}, "cannot be read: Is a directory"),
        ({"from_index": ["nowhere"]}, "no other index 'nowhere'"),
        ({"from_index": ["docs"]}, "no other index 'docs'"),
        ({"tag": "rare"}, "There are 0 enabled golden questions tagged 'rare'"),
        ({"most_refused": 1.0}, "from 0 to below 1"),
        ({"most_refused": 0.1, "rule": "youden"}, "belongs to the rule refusals"),
    ],
)
def test_what_cannot_be_measured_is_said(index: Index, options: dict[str, Any], reason: str) -> None:
    assert refused(reason, **options).returncode == 2
    assert not CalibrationRun.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"\n \n", "has no question"),
        ("a.txt", b"\xff\xfe", "not UTF-8"),
        ("a.txt", b"a\x00", "Line 1: question must not contain NUL"),
        ("a.txt", b"x" * 8001, "Line 1: question must have at most 8000"),
        ("a.jsonl", b'{"question": "a"}\n{"question": " "}', "Line 2: question must not be empty"),
        ("a.jsonl", b'{"text": "a"}', "Line 1: question must be a string"),
        ("a.json", b'[{"question": "a", "history": 1}]', "Question 1: history must be a list"),
        ("a.json", b'[{"question": "a", "history": [1]}]', "Question 1: question must be a string"),
        ("a.json", b"[1]", "Question 1: expected a JSON object"),
        ("a.json", b"{", "no JSON"),
        ("a.csv", b"question\na,b\n", "Line 2: it has not as many cells"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(
    index: Index, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    refused(reason, unanswerable=file)


@pytest.mark.django_db
def test_exported_golden_questions_can_be_the_file(index: Index, tmp_path: Path) -> None:
    file = tmp_path / "exported.csv"
    rows = "".join(f"{question},a,yes,First?|Second?\n" for question in UNKNOWN)
    file.write_text(f"question,expected_text,is_enabled,history\n{rows}")
    assert json.loads(run_command(json=True, unanswerable=file))["unanswerable"] == 12


@pytest.mark.django_db
def test_a_golden_follow_up_is_asked_with_what_was_asked_before(index: Index, unknown: Path) -> None:
    follow_up = GoldenRecord(
        question="And how does it?", history=["How do refunds work?"], expected_documents=["refunds"]
    )
    save_golden(index, [follow_up])
    run_command(unanswerable=unknown)
    (row,) = [row for row in CalibrationRun.objects.get().answerable if row["question"] == "And how does it?"]
    record = ask("And how does it?", history=["How do refunds work?"])
    assert (row["score"], row["document_id"]) == (record.best_score, "refunds")
    assert row["score"] > (ask("And how does it?").best_score or 0.0)


@pytest.mark.django_db
def test_reciprocal_ranks_have_no_threshold(index: Index, unknown: Path) -> None:
    Index.objects.update(fusion="rrf")
    refused("Reciprocal ranks tell nothing", unanswerable=unknown)


@pytest.mark.django_db
@pytest.mark.parametrize("mode", ["semantic", "lexical"])
def test_each_mode_has_scores_of_its_own(index: Index, unknown: Path, mode: str) -> None:
    Index.objects.update(mode=mode)
    run_command(unanswerable=unknown)
    assert ask().is_confident is True
    assert ask(mode="hybrid").is_confident is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    "options", [{"mode": "semantic"}, {"mode": "lexical"}, {"lexical_weight": 0.5}, {"fusion": "rrf"}]
)
def test_scores_of_another_kind_are_not_compared(index: Index, options: dict[str, Any]) -> None:
    set_threshold(0.25)
    assert ask().is_confident is True
    assert (ask(**options).threshold, ask(**options).is_confident) == (None, None)


@pytest.mark.django_db
def test_an_outage_is_not_taken_for_ignorance(index: Index, unknown: Path, embedder: Any) -> None:
    set_threshold(5.0)
    assert ask().is_confident is False
    embedder.question_failure = EmbedderUnavailable
    assert ask().is_confident is None
    refused("embedding model", unanswerable=unknown)
    assert (Index.objects.get().threshold, CalibrationRun.objects.count()) == (5.0, 0)


@pytest.mark.django_db
def test_few_hits_count_unless_a_filter_left_them(index: Index) -> None:
    set_threshold(5.0)
    assert ask(top_k=50).flags == ("short",)
    assert ask(top_k=50).is_confident is False  # the whole index is what was measured
    assert ask(top_k=50, filters={"product": "none"}).is_confident is None


@pytest.mark.django_db
def test_nothing_at_all_is_no_answer(put: Any, embedder: Any) -> None:
    put("secret", "The vault opens at noon.", audience=["gold"])
    set_threshold(0.25)
    assert (ask().hits, ask().best_score, ask().is_confident) == ([], None, False)


@pytest.mark.django_db
def test_the_threshold_costs_no_query(index: Index) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            ask()
        return len(captured)

    before = queries()
    set_threshold(0.25)
    assert queries() == before


@pytest.mark.django_db
def test_another_generation_makes_the_threshold_stale(index: Index, unknown: Path, settings: Any) -> None:
    run_command(unanswerable=unknown)
    first = Generation.objects.get()
    other = lifecycle.open_generation(index, model="hashing-128")
    lifecycle.execute_build(other.pk)
    out = StringIO()
    call_command("generations", "docs", "switch", other.pk, stdout=out)
    assert "threshold is not applied any more" in out.getvalue() and "hashing-128" in out.getvalue()
    assert ask().is_confident is None
    warnings = [message for message in run_checks(databases=["default"]) if message.id == "retrieval.W002"]
    assert "embedding model hashing-256, now hashing-128" in warnings[0].msg
    # The way back makes it valid again, and so does another calibration.
    lifecycle.switch(first)
    assert ask().is_confident is True
    lifecycle.switch(Generation.objects.get(pk=other.pk))
    run_command(unanswerable=unknown)
    assert ask().is_confident is True
    assert not [message for message in run_checks(databases=["default"]) if message.id == "retrieval.W002"]


@pytest.mark.django_db
def test_a_ranking_that_changes_meanwhile_voids_the_run(index: Index) -> None:
    questions = questions_for("docs", [AskedQuestion(text=text) for text in UNKNOWN], ["test"])
    with pytest.raises(GenerationConflict, match="changed its ranking meanwhile"):
        calibrate(questions, started_by="test", on_done=lambda: Index.objects.update(lexical_weight=0.5))
    assert (Index.objects.get().threshold, CalibrationRun.objects.count()) == (None, 0)


@pytest.mark.django_db
def test_a_golden_question_whose_filter_does_not_work_is_left_out(index: Index, unknown: Path) -> None:
    GoldenQuestion.objects.filter(question__contains="refunds").update(filters={"a": {"$nonsense": 1}})
    assert json.loads(run_command(json=True, unanswerable=unknown))["answerable"] == 11


class InterruptingEmbedder(FragileEmbedder):
    """Has the process asked to stop when the model is run for the third question."""

    asked: ClassVar[int] = 0

    def embed_query(self, text: str) -> np.ndarray:
        type(self).asked += 1
        if self.asked == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().embed_query(text)


@pytest.mark.django_db
def test_it_can_be_stopped_and_then_changes_nothing(index: Index, unknown: Path) -> None:
    set_threshold(0.25)
    Generation.objects.update(embedder=f"{__name__}.InterruptingEmbedder")
    InterruptingEmbedder.asked = 0
    assert refused("Interrupted", unanswerable=unknown).returncode == 130
    assert InterruptingEmbedder.asked == 3
    assert (Index.objects.get().threshold, CalibrationRun.objects.count()) == (0.25, 0)


@pytest.mark.django_db
def test_of_very_many_questions_some_are_asked_evenly(index: Index) -> None:
    many = [AskedQuestion(text=f"Quince {number}?") for number in range(3 * MOST_QUESTIONS)]
    questions = questions_for("docs", many, ["test"])
    numbers = [int(question.text.split()[1][:-1]) for question in questions.unanswerable]
    assert numbers == list(range(0, 3 * MOST_QUESTIONS, 3))


@pytest.mark.django_db
def test_a_cached_result_tells_it_too_until_the_threshold_changes(index: Index) -> None:
    @retriever(name="cached_docs", index="docs", cache_ttl="1h")
    async def cached_docs(query: str) -> list[Hit]: ...

    def confidences() -> list[tuple[bool, bool | None]]:
        seen = Collector()
        token = collector.set(seen)
        try:
            async_to_sync(cached_docs)("How do refunds work?")
        finally:
            collector.reset(token)
        return [(record.is_cached, record.is_confident) for record in seen.records]

    set_threshold(0.25)
    assert confidences() == [(False, True)]
    assert confidences() == [(True, True)]
    set_threshold(5.0)
    assert confidences() == [(False, False)]


@pytest.fixture
def conversations(shared_data: Any) -> Iterator[tuple[str, Callable[[str], list[AskedQuestion]]]]:
    """Every third of real support conversations: the name of an index of their passages, and a function for tasks."""
    folder = shared_data("multiturn")
    rows = [json.loads(line) for line in (folder / "conversations.jsonl").read_text().splitlines()][::3]
    wanted = {document_id for row in rows for document_id in row["relevant"]}
    corpus = [document for document in beir.read_corpus(folder / "corpus.jsonl") if document.id in wanted]

    def tasks(answerability: str) -> list[AskedQuestion]:
        asked = [
            [turn["text"] for turn in row["turns"] if turn["role"] == "user"]
            for row in rows
            if row["answerability"] == answerability
        ]
        return [AskedQuestion(text=texts[-1], history=tuple(texts[:-1])) for texts in asked]

    with temporary_index.own_index() as name:
        assert temporary_index.fill(name, corpus) == []
        yield name, tasks


@pytest.mark.real_model
@pytest.mark.django_db(transaction=True)
def test_real_questions_are_told_apart(conversations: Any) -> None:
    name, tasks = conversations
    index = Index.objects.select_related("generation").get(name=name)
    questions = Questions(
        index=index, answerable=tasks("answerable"), unanswerable=tasks("unanswerable"), sources=["conversations"]
    )
    assert (len(questions.answerable), len(questions.unanswerable)) == (45, 15)
    run = calibrate(questions, started_by="test")
    assert run.auc >= 0.89
    assert run.refused_answerable <= 0.05 and run.refused_unanswerable >= 0.4
