"""Golden questions: what is right, how files come in and go out, and the gate that asks them."""

import json
import subprocess
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from common.errors import InvalidInput
from retrieval.errors import EmbedderUnavailable, IndexNotFound
from retrieval.evaluation import runs
from retrieval.evaluation.golden import GoldenRecord, ranking_of, read_golden, save_golden, to_csv, to_json_lines
from retrieval.models import EvaluationOutcome, EvaluationRun, GoldenQuestion, Index
from retrieval.search.hits import Hit
from tests.processes import PROJECT, test_environment, wait_until

QUESTIONS = [
    GoldenRecord(question="How do I get a new password?", expected_documents=["password"]),
    GoldenRecord(question="When are invoices sent?", expected_text="FIRST  of each\nmonth", tags=["billing", "short"]),
    GoldenRecord(question="What does E-4021 mean?", expected_documents=["errors"], expected_text="archived"),
]


def hit(document_id: str, content: str = "", duplicates: tuple[str, ...] = ()) -> Hit:
    return Hit(
        content=content, score=1.0, metadata={}, document_id=document_id, chunk_id=1, title="", heading_path="",
        index="docs", version=1, version_id=1, position=0, semantic_score=None, lexical_score=None, semantic_rank=None,
        lexical_rank=None, duplicates=duplicates,
    )  # fmt: skip


@pytest.fixture
def index(put: Any) -> Index:
    put("password", "# Reset\n\nTo get a new password, click the link in the email.")
    put("billing", "# Pay\n\nInvoices are sent on the first of each month.")
    put("errors", "# Errors\n\nThe code E-4021 means that the project is archived.")
    return Index.objects.get(name="docs")


def evaluate(**options: Any) -> str:
    out = StringIO()
    call_command("evaluate", index="docs", **options, stdout=out, stderr=StringIO())
    return out.getvalue()


@pytest.mark.parametrize(
    ("documents", "text", "hits", "right"),
    [
        (["a"], "", [hit("b"), hit("a")], [2]),
        (["a", "b"], "", [hit("b"), hit("x"), hit("a")], [1, 3]),
        # A second hit of the same document takes a place and gains nothing.
        (["a", "b"], "", [hit("a"), hit("a"), hit("b")], [1, 3]),
        ([], "blue Sky", [hit("a", "grey"), hit("b", "The BLUE\n sky.")], [2]),
        ([], "ﬁne", [hit("a", "Fine.")], [1]),
        # Both given: the document's other passages do not count, nor does another document that says it.
        (["a"], "sky", [hit("a", "sea"), hit("b", "sky"), hit("a", "sky")], [3]),
        # A document whose nearly same passage was left out is found all the same.
        (["a", "b"], "", [hit("x", duplicates=("b",)), hit("a")], [1, 2]),
        (["a"], "", [], []),
    ],
)
def test_a_right_hit(documents: list[str], text: str, hits: list[Hit], right: list[int]) -> None:
    golden = GoldenQuestion(question="?", expected_documents=documents, expected_text=text)
    ranking, grades = ranking_of(hits, golden)
    assert [rank for rank, document_id in enumerate(ranking, 1) if document_id in grades] == right
    assert len(grades) == max(1, len(documents))


@pytest.mark.django_db
def test_files_come_back_as_they_went(index: Index) -> None:
    tricky = GoldenRecord(
        question='Say "a, b"\nand | c', expected_documents=["a|b", "[c"], expected_text="x\ny",
        audience=["gold", "x,y"], filters={"n": {"$gte": 3}}, tags=["t"], is_enabled=False,
    )  # fmt: skip
    questions = [*QUESTIONS, tricky]
    assert save_golden(index, questions) == (4, 0)
    rows = list(GoldenQuestion.objects.all())
    assert read_golden(to_json_lines(rows).encode(), "a.jsonl") == questions
    assert read_golden(to_csv(rows).encode(), "a.csv") == questions
    assert save_golden(index, questions) == (0, 0)


@pytest.mark.django_db
def test_the_same_question_is_changed_not_doubled(index: Index) -> None:
    save_golden(index, QUESTIONS[:1])
    other = GoldenRecord(question=QUESTIONS[0].question, expected_documents=["billing"])
    assert save_golden(index, [other], only_new=True) == (0, 0)
    assert save_golden(index, [other]) == (0, 1)
    assert GoldenQuestion.objects.get().expected_documents == ["billing"]
    # Another asker is another question.
    asked_by = GoldenRecord(question=other.question, expected_documents=["password"], audience=["gold"])
    assert save_golden(index, [asked_by]) == (1, 0)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.jsonl", "", "no question"),
        ("a.jsonl", "{", "Line 1: this is no JSON"),
        ("a.json", "[{}]", "Question 1: question is missing"),
        ("a.json", "[1]", "Question 1: expected a JSON object"),
        ("a.json", "[" * 100_000, "no JSON"),
        ("a.jsonl", '{"question": "a"}', "Line 1: expected_documents or expected_text"),
        ("a.jsonl", '{"question": " ", "expected_text": "a"}', "question must not be empty"),
        ("a.jsonl", '{"question": "a\\u0000", "expected_text": "a"}', "NUL"),
        ("a.jsonl", '{"question": "a", "expected_text": "a", "answer": 1}', "'answer' is no field"),
        ("a.jsonl", '{"question": "a", "expected_documents": "b"}', "must be a list"),
        ("a.jsonl", '{"question": "a", "expected_documents": [""]}', "expected_documents must not be empty"),
        ("a.jsonl", '{"question": "a", "expected_text": "a", "is_enabled": 1}', "true or false"),
        ("a.jsonl", '{"question": "a", "expected_text": "a", "filters": []}', "filters must be an object"),
        ("a.csv", "question,expected_text\na,b,c\n", "Line 2: it has not as many cells"),
        ("a.csv", "question,filters,expected_text\na,{,b\n", "Line 2: this is no JSON"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(name: str, text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        read_golden(text.encode(), name)
    with pytest.raises(InvalidInput, match="save it as UTF-8"):
        read_golden("Was kostet eine Änderung der Straße?".encode() + b"\xff, und was noch?", name)
    with pytest.raises(InvalidInput, match="The file is no text"):
        read_golden(bytes(range(256)) * 4, name)


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "iso-8859-15"])
def test_a_file_of_a_spreadsheet_is_read_in_its_encoding(codec: str) -> None:
    text = "question,expected_text\nWas kostet die Änderung der Straße?,Die Änderung kostet Gebühren.\n"
    [found] = read_golden(text.encode(codec), "a.csv")
    assert found.question == "Was kostet die Änderung der Straße?"


@pytest.mark.django_db
def test_the_gate_passes_and_fails_by_its_exit_code(index: Index, tmp_path: Path) -> None:
    file = tmp_path / "golden.jsonl"
    wrong = {"question": "When are invoices sent?", "expected_documents": ["nowhere"]}
    file.write_text(json.dumps(wrong))
    save_golden(index, [QUESTIONS[0], QUESTIONS[2]])
    assert "hit_rate@5  1.0000" in evaluate(fail_under=1.0)
    out = StringIO()
    with pytest.raises(CommandError, match=r"hit_rate@5 is 0.6667, below 0.9") as failure:
        call_command("evaluate", index="docs", file=file, fail_under=0.9, stdout=out, stderr=StringIO())
    assert failure.value.returncode == 1
    # What failed is told with what was found instead.
    assert "When are invoices sent?" in out.getvalue()
    assert "expected  nowhere" in out.getvalue()
    assert "billing  Pay" in out.getvalue()
    assert "How do I get a new password?" not in out.getvalue()
    run = EvaluationRun.objects.latest("pk")
    assert (run.state, run.done, run.metrics["hit_rate@1"]) == ("done", 3, pytest.approx(2 / 3))
    assert run.config["index_version"] == 3


@pytest.mark.django_db
def test_json_is_all_that_stdout_says(index: Index) -> None:
    save_golden(index, QUESTIONS)
    result = json.loads(evaluate(json=True, metric="mrr@10", fail_under=0.5))
    assert result["questions"] == 3
    assert result["hit_rate@1"] == result["mrr@10"] == result["ndcg@10"] == result["recall@10"] == 1
    assert result["missed"] == []
    assert json.loads(evaluate(json=True, tag="billing"))["questions"] == 1


@pytest.mark.django_db
def test_nothing_to_measure_is_another_exit_code(index: Index, tmp_path: Path) -> None:
    for options in [{}, {"tag": "none"}, {"file": tmp_path / "none.csv"}, {"fail_under": 2.0}]:
        with pytest.raises(CommandError) as failure:
            evaluate(**options)
        assert failure.value.returncode == 2
    with pytest.raises(IndexNotFound):
        runs.open_run("nothing", started_by="test")
    assert not EvaluationRun.objects.exists()


@pytest.mark.django_db
def test_a_question_that_cannot_be_asked_counts_as_missed_and_says_why(index: Index) -> None:
    save_golden(index, [GoldenRecord(question="a", expected_text="b", filters={"$bad": {"$worse": 1}}), QUESTIONS[0]])
    run = runs.open_run("docs", started_by="test")
    runs.execute_run(run.pk)
    run.refresh_from_db()
    assert (run.state, run.metrics["hit_rate@5"]) == ("done", 0.5)
    assert run.outcomes.get(question="a").error


@pytest.mark.django_db
def test_a_run_says_that_it_was_degraded(index: Index, embedder: Any) -> None:
    save_golden(index, QUESTIONS)
    embedder.take_over()
    embedder.failure = EmbedderUnavailable
    assert "semantic_unavailable: 3 searches" in evaluate()


@pytest.mark.django_db
def test_a_run_goes_on_where_a_dead_worker_left_it(index: Index) -> None:
    save_golden(index, QUESTIONS)
    run = runs.open_run("docs", started_by="test")
    first = GoldenQuestion.objects.all()[0]
    EvaluationRun.objects.filter(pk=run.pk).update(state="running", done=1)
    EvaluationOutcome.objects.create(
        run=run, digest=first.digest, question="asked before", metrics=dict.fromkeys(runs.MEASURES, 0.0)
    )
    assert runs.execute_run(run.pk)
    run.refresh_from_db()
    assert (run.state, run.done) == ("done", 3)
    assert run.outcomes.filter(question="asked before").exists()
    assert run.metrics["hit_rate@1"] == pytest.approx(2 / 3)
    # Delivered once more, it is done already.
    finished_at = run.finished_at
    assert runs.execute_run(run.pk)
    run.refresh_from_db()
    assert run.finished_at == finished_at


@pytest.mark.django_db(transaction=True)
def test_a_run_whose_process_was_killed_is_found_and_finished(index: Index) -> None:
    save_golden(index, QUESTIONS)
    run = runs.open_run("docs", started_by="test")
    EvaluationRun.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    assert runs.abandoned_runs() == [run.pk], "its task was lost"
    script = (
        "import django; django.setup()\n"
        "from retrieval.evaluation import runs\n"
        "def wait():\n"
        "    print('asked one', flush=True)\n"
        "    input()\n"
        f"runs.execute_run({run.pk}, wait)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=PROJECT, env=test_environment(), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "asked one\n"
        assert runs.abandoned_runs() == [], "it is being worked at"
    finally:
        process.kill()
        process.communicate()
    asked = run.outcomes.get()
    assert wait_until(runs.abandoned_runs) == [run.pk]
    assert runs.execute_run(run.pk)
    run.refresh_from_db()
    assert (run.state, run.done, run.metrics["hit_rate@1"]) == ("done", 3, 1)
    assert run.outcomes.first() == asked
    assert runs.abandoned_runs() == []


@pytest.mark.django_db
def test_two_workers_are_never_at_one_run(index: Index) -> None:
    save_golden(index, QUESTIONS)
    run = runs.open_run("docs", started_by="test")
    with psycopg.connect(test_environment()["DATABASE_URL"]) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"evaluation-run-{run.pk}"])
        assert not runs.execute_run(run.pk)
        other.execute("SELECT pg_advisory_unlock_all()")
    assert runs.execute_run(run.pk)


@pytest.mark.django_db
def test_two_runs_are_compared_question_by_question(index: Index) -> None:
    save_golden(index, QUESTIONS)
    before = runs.open_run("docs", started_by="test")
    runs.execute_run(before.pk)
    GoldenQuestion.objects.filter(question=QUESTIONS[0].question).update(expected_documents=["billing"])
    GoldenQuestion.objects.filter(question=QUESTIONS[1].question).delete()
    after = runs.open_run("docs", started_by="test")
    runs.execute_run(after.pk)
    changes = runs.compare(before, after)
    assert changes[0].question == QUESTIONS[0].question
    assert changes[0].gain < 0
    gone = next(change for change in changes if change.question == QUESTIONS[1].question)
    assert (gone.after, gone.gain) == (None, 0)


@pytest.mark.django_db
def test_the_samples_questions_are_golden(index: Index) -> None:
    from chat.sample import SAMPLE

    questions = read_golden((SAMPLE / "questions.json").read_bytes(), "questions.json")
    for question in questions:
        text = (SAMPLE / "articles" / f"{question.expected_documents[0]}.md").read_text()
        assert question.expected_text in text
    assert len(questions) == 41


@pytest.mark.django_db
def test_a_question_is_asked_as_its_audience_would(put: Any) -> None:
    put("open", "# Rooms\n\nRooms close at five.")
    put("secret", "# Vault\n\nThe vault opens at noon.", audience=["gold"])
    index = Index.objects.get(name="docs")
    expected = {"question": "When does the vault open?", "expected_documents": ["secret"]}
    save_golden(
        index,
        [
            GoldenRecord(**expected),
            GoldenRecord(**expected, audience=["gold"]),
            GoldenRecord(**expected, audience=["tin"]),
        ],
    )
    run = runs.open_run("docs", started_by="test")
    runs.execute_run(run.pk)
    ranks = dict(run.outcomes.values_list("golden_question__audience__0", "rank"))
    assert ranks == {None: 1, "gold": 1, "tin": None}
    assert run.config["lexical_weight"] == index.lexical_weight
