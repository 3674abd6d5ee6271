"""`evaluate_retrieval` measures a collection in an index of its own, and leaves nothing behind."""

import gzip
import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from common.errors import InvalidInput
from retrieval.evaluation import beir, benchmark, temporary_index
from retrieval.models import Chunk, Document, Index, LexemeCount
from retrieval.search.execute import search_sync
from tests.embedders import SLOW_PATH, SLOWNESS
from tests.processes import PROJECT, test_environment, wait_until

CORPUS = [
    {"_id": "cats", "title": "Cats", "text": "Cats purr when they are content."},
    {"_id": "dogs", "title": "Dogs", "text": "Dogs bark at strangers."},
    {"_id": "fish", "title": "Fish breathe through gills", "text": ""},
]
QUERIES = [
    {"_id": 1, "text": "Why does a kitten purr?"},
    {"_id": "2", "text": "barking at strangers"},
    {"_id": "3", "text": "Which of them have gills?", "metadata": {}},
    {"_id": "unjudged", "text": "Anything?"},
]
QRELS = "query-id\tcorpus-id\tscore\n1\tcats\t2\n1\tdogs\t0\n2\tdogs\t1\n3\tfish\t1\n3\tgone\t1\n"


def lines(rows: list[Any]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


@pytest.fixture
def collection(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "corpus.jsonl").write_text(lines(CORPUS))
    with gzip.open(tmp_path / "queries.jsonl.gz", "wt") as file:
        file.write(lines(QUERIES))
    (tmp_path / "test.tsv").write_text(QRELS)
    return {
        "corpus": tmp_path / "corpus.jsonl",
        "queries": tmp_path / "queries.jsonl.gz",
        "qrels": tmp_path / "test.tsv",
    }


def run(collection: dict[str, Path], **options: Any) -> tuple[str, str]:
    out, errors = StringIO(), StringIO()
    call_command("evaluate_retrieval", **collection, **options, stdout=out, stderr=errors)
    return out.getvalue(), errors.getvalue()


@pytest.mark.django_db(transaction=True)
def test_json_says_each_measure_of_each_mode_and_nothing_else(collection: dict[str, Path]) -> None:
    out, _ = run(collection, json=True)
    results = json.loads(out)
    assert set(results) == {mode for mode in benchmark.MODES if benchmark.is_available(mode)}
    for result in results.values():
        assert {"ndcg@10", "recall@10", "recall@100", "mrr@10", "latency_ms_p50"} <= set(result)
        assert result["questions"] == 3
        assert result["latency_ms_p50"] > 0
    hybrid = results["hybrid"]
    assert hybrid["mrr@10"] == 1
    # One of three questions has a relevant document that is not in the corpus.
    assert hybrid["recall@10"] == hybrid["recall@100"] == pytest.approx((1 + 1 + 0.5) / 3, abs=1e-6)
    assert (Index.objects.count(), Document.objects.count(), Chunk.objects.count()) == (0, 0, 0)


@pytest.mark.django_db(transaction=True)
def test_nothing_of_a_large_index_stays(collection: dict[str, Path], settings: Any) -> None:
    settings.FABRA_HNSW_WORTH_IT = 2
    before = chunk_indexes()
    with temporary_index.own_index() as name:
        temporary_index.fill(name, beir.read_corpus(collection["corpus"]))
        assert len(chunk_indexes() - before) == 2, "it has its HNSW and its GIN"
    assert chunk_indexes() == before
    assert not LexemeCount.objects.exists()


def chunk_indexes() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'retrieval_chunk'")
        return {name for (name,) in cursor.fetchall()}


@pytest.mark.django_db(transaction=True)
def test_people_read_intervals_and_latency(collection: dict[str, Path]) -> None:
    out, _ = run(collection, modes="hybrid", limit=1)
    assert "hybrid: 1 questions, 3 documents" in out
    assert "95 % interval 1.0000 to 1.0000" in out
    assert "p95" in out


@pytest.mark.django_db(transaction=True)
def test_an_index_that_is_kept_is_not_embedded_again(collection: dict[str, Path]) -> None:
    run(collection, index="kept", modes="hybrid")
    assert Document.objects.filter(index__name="kept").count() == 3
    versions = set(Document.objects.values_list("version_id", flat=True))
    run(collection, index="kept", modes="hybrid")
    assert set(Document.objects.values_list("version_id", flat=True)) == versions


@pytest.mark.django_db(transaction=True)
def test_a_collection_in_another_language_is_read_as_such(tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in ("corpus", "queries", "qrels")}
    paths["corpus"].write_text(lines([{"_id": "a", "text": "Häuser und Gärten."}, {"_id": "b", "text": "Boote."}]))
    paths["queries"].write_text(lines([{"_id": "1", "text": "Haus"}]))
    paths["qrels"].write_text("1\ta\t1\n")
    out, _ = run(paths, index="kept", language="german", modes="lexical")
    assert "lexical: 1 questions" in out
    hits = search_sync("kept", "Haus", 2, mode="lexical")
    assert [hit.document_id for hit in hits.hits] == ["a"] and "lexical_empty" not in hits.flags
    assert Index.objects.get(name="kept").language == "german"
    for options in ({"language": "klingon"}, {"language": "french", "index": "kept"}):
        with pytest.raises(CommandError, match="language"):
            run(paths, **options)


@pytest.mark.django_db(transaction=True)
def test_an_index_of_other_documents_is_left_alone(collection: dict[str, Path], put: Any) -> None:
    put("mine", "My own text.")
    with pytest.raises(CommandError, match="holds 'mine'"):
        run(collection, index="docs")
    assert Document.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_index_goes_when_something_fails(collection: dict[str, Path], embedder: Any) -> None:
    embedder.question_failure = ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        run(collection)
    assert not Index.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_index_goes_when_it_is_told_to_stop(collection: dict[str, Path]) -> None:
    rows = [{"_id": str(n), "text": f"Document {n}. " + f"Word{n} and another one. " * 10} for n in range(300)]
    collection["corpus"].write_text(lines([*CORPUS, *rows]))
    files = [f"--{name}={path}" for name, path in collection.items()]
    process = subprocess.Popen(
        [sys.executable, "manage.py", "evaluate_retrieval", *files],
        cwd=PROJECT, env=test_environment(FABRA_EMBEDDER=SLOW_PATH, **{SLOWNESS: "0.1"}),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_until(Chunk.objects.exists, 120)
        process.terminate()
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130 and "Interrupted" in errors and "Traceback" not in errors
    assert not Index.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_what_a_killed_evaluation_left_goes_with_the_next_and_a_living_one_stays(collection: dict[str, Path]) -> None:
    script = (
        "import django; django.setup()\n"
        "from retrieval.evaluation import beir, temporary_index\n"
        "with temporary_index.own_index() as name:\n"
        "    temporary_index.fill(name, [beir.CorpusDocument(id='a', title='A', text='Text.')])\n"
        "    print(name, flush=True)\n"
        "    input()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=PROJECT, env=test_environment(), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert Chunk.objects.filter(generation__index__name=name).count() == 1
        assert temporary_index.remove_abandoned() == []
    finally:
        process.kill()
        process.communicate()
    # PostgreSQL notices a moment later that its client is gone.
    assert wait_until(temporary_index.remove_abandoned) == [name]
    assert not Index.objects.exists()


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("corpus", "{", "line 1: this is no JSON"),
        ("corpus", "[" * 100_000, "line 1: this is no JSON"),
        ("corpus", '["a"]', "line 1: expected a JSON object"),
        ("corpus", '{"text": "a"}', "line 1: _id must be text"),
        ("corpus", '\n{"_id": "a", "text": 3}', "line 2: text must be text"),
        ("qrels", "query-id\tcorpus-id\tscore\n1\tcats\tmuch\n", "line 2: expected query-id"),
        ("qrels", "1 cats\n", "line 1: expected query-id"),
        ("qrels", "1 0 cats 1 run\n", "line 1: expected query-id"),
        ("qrels", "1\tcats\t0.5\n", "line 1: expected query-id"),
        ("qrels", "1\tdonkeys\t1\n", "No judged document is in the corpus"),
        ("qrels", "7\tcats\t1\n", "No question"),
        ("qrels", "1\tcats\t0\n", "No question"),
        ("queries", "plain text in a .gz", "cannot be read"),
        ("corpus", "\n", "has no document"),
    ],
)
@pytest.mark.django_db
def test_a_broken_collection_is_refused_with_the_place(
    collection: dict[str, Path], name: str, text: str, reason: str
) -> None:
    collection[name].write_text(text)
    with pytest.raises(CommandError, match=reason):
        run(collection)
    assert not Index.objects.exists()


@pytest.mark.django_db
def test_bad_options_are_refused(collection: dict[str, Path], tmp_path: Path) -> None:
    for options in [{"modes": "magic"}, {"top_k": 9}, {"top_k": 101}, {"limit": 0}]:
        with pytest.raises(CommandError):
            run(collection, **options)
    with pytest.raises(CommandError, match=r"none\.jsonl cannot be read"):
        run(collection | {"corpus": tmp_path / "none.jsonl"})
    assert not Index.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_documents_and_questions_that_nobody_can_index_or_ask_are_told_and_counted(
    collection: dict[str, Path], tmp_path: Path
) -> None:
    collection["corpus"].write_text(lines([*CORPUS, {"_id": "void", "title": "", "text": " "}]))
    collection["queries"] = tmp_path / "queries.jsonl"
    collection["queries"].write_text(lines([*QUERIES[:2], {"_id": "3", "text": "x" * 9000}]))
    out, _ = run(collection, modes="hybrid")
    assert "1 questions were refused" in out
    with temporary_index.own_index() as name:
        refused = temporary_index.fill(name, beir.read_corpus(collection["corpus"]))
    assert [document_id for document_id, _ in refused] == ["void"]


@pytest.mark.parametrize(
    "text",
    [
        QRELS,
        QRELS.partition("\n")[2],  # no header
        QRELS.replace("\n", "\r\n"),
        f"\ufeff{QRELS}",
        QRELS.replace("query-id\tcorpus-id\tscore", "qid\tdocid\trelevance"),
        "".join(f"{q} 0 {d} {grade}\n" for q, d, grade in (row.split("\t") for row in QRELS.split("\n")[1:-1])),  # TREC
        QRELS.replace("\tcats\t2", "\tcats\t2.0").replace("\tdogs\t0", "\tdogs\t-1"),
    ],
)
def test_judgements_are_read_as_people_write_them(tmp_path: Path, text: str) -> None:
    (tmp_path / "qrels").write_bytes(text.encode())
    grades = beir.read_qrels(tmp_path / "qrels")
    assert grades | {"1": {"cats": 2, "dogs": max(0, grades["1"]["dogs"])}} == {
        "1": {"cats": 2, "dogs": 0}, "2": {"dogs": 1}, "3": {"fish": 1, "gone": 1}
    }  # fmt: skip


def test_of_two_documents_with_one_id_the_later_stands(tmp_path: Path) -> None:
    rows = [{"_id": 7, "text": "Old."}, {"_id": "8", "title": None, "text": "Other."}, {"_id": "7", "text": "New."}]
    (tmp_path / "corpus.jsonl").write_bytes(b"\xef\xbb\xbf" + lines(rows).replace("\n", "\r\n").encode())
    found = beir.read_corpus(tmp_path / "corpus.jsonl")
    assert [(document.id, document.title, document.text) for document in found] == [
        ("7", "", "New."),
        ("8", "", "Other."),
    ]


def test_what_the_database_cannot_hold_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text(lines([{"_id": "a\ud800", "text": "Cats\x00purr \ud800."}]))
    assert [(document.id, document.text) for document in beir.read_corpus(tmp_path / "corpus.jsonl")] == [
        ("a?", "Cats purr ?.")
    ]


DOCUMENTS = [beir.CorpusDocument(id="a", title="A", text="Text.")]


def test_a_question_needs_a_relevant_document() -> None:
    qrels = {"1": {"a": 0}, "2": {"a": 1}, "3": {"a": 1}}
    questions = benchmark.judged_queries({"1": "one", "2": "two"}, qrels, DOCUMENTS)
    assert [question.id for question in questions] == ["2"]
    with pytest.raises(InvalidInput):
        benchmark.judged_queries({}, {}, DOCUMENTS)


@pytest.mark.django_db(transaction=True)
def test_a_question_that_is_a_document_itself_does_not_find_itself(put: Any) -> None:
    for name in ("1", "2", "3"):
        put(name, f"Cats purr at night, says author {name}.")

    def found(grades: dict[str, int]) -> list[str]:
        question = benchmark.JudgedQuery(id="1", text="Cats purr at night, says author 1.", grades=grades)
        return benchmark._documents("docs", question, "hybrid", 2)[0]

    assert sorted(found({"2": 1})) == ["2", "3"]
    assert "1" in found({"1": 1}), "judged right: it only has the same number"


@pytest.mark.django_db(transaction=True)
def test_long_documents_leave_room_for_others() -> None:
    long = "\n\n".join(f"# Part {n}\n\n{'Cats purr at night. ' * 40}{n}" for n in range(6))
    rows = [("long", long), ("a", "A cat sleeps."), ("b", "Dogs bark at cats.")]
    with temporary_index.own_index() as name:
        temporary_index.fill(name, [beir.CorpusDocument(id=row_id, title=row_id, text=text) for row_id, text in rows])
        question = benchmark.JudgedQuery(id="1", text="cats purr at night", grades={"a": 1})
        found, _ = benchmark._documents(name, question, "semantic", 3, most=4)
    assert sorted(found) == ["a", "b", "long"]
