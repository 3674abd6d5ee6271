"""`evaluate_extracts` measures the answers without a model on a file of questions with answers."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from retrieval.models import Index

CORPUS = [
    {"_id": "cats", "title": "Cats", "text": "Cats purr when they are content. A cat sleeps for sixteen hours a day."},
    {"_id": "dogs", "title": "Dogs", "text": "Dogs bark at strangers. A dog sleeps for twelve hours a day."},
]
QUERIES = [
    {"_id": "1", "text": "How long does a cat sleep?", "metadata": {"answers": ["sixteen  HOURS"]}},
    {"_id": "2", "text": "At whom do dogs bark?", "answers": ["enemies", "strangers"]},
    {"_id": "3", "text": "Why does a cat purr?", "answers": ["because it is hungry"]},
    {"_id": "4", "text": "Without an answer?"},
]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    for name, rows in {"corpus": CORPUS, "queries": QUERIES}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return {name: tmp_path / f"{name}.jsonl" for name in ("corpus", "queries")}


def run(**options: Any) -> str:
    out = StringIO()
    call_command("evaluate_extracts", **options, stdout=out, stderr=StringIO())
    return out.getvalue()


@pytest.mark.django_db(transaction=True)
def test_it_counts_answers_in_the_context_and_in_the_extract(files: dict[str, Path]) -> None:
    result = json.loads(run(**files, json=True))
    assert (result["questions"], result["in_context"], result["in_extract"]) == (
        3,
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
    )
    assert 0 < result["words_mean"] <= result["words_p95"] <= 80
    assert not Index.objects.exists()
    assert "the answer is in the extract  0.6667" in run(**files, index="kept")
    # An index that is there already needs no corpus.
    assert json.loads(run(queries=files["queries"], index="kept", limit=1, json=True))["in_extract"] == 1.0


@pytest.mark.django_db(transaction=True)
def test_what_the_budget_drops_is_not_in_the_context(files: dict[str, Path]) -> None:
    assert json.loads(run(**files, max_tokens=1, json=True))["in_context"] == 0.0


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (QUERIES, {}, "Give --corpus"),
        (QUERIES, {"index": "missing"}, "Give --corpus"),
        ([{"text": "What?", "answers": "one"}], {"index": "there"}, "line 1: answers must be a list of texts"),
        ([{"text": "What?"}], {"index": "there"}, "has no question with answers"),
        (QUERIES, {"index": "there", "top_k": 0}, "--top-k must be"),
    ],
)
def test_wrong_input_says_what_to_give(tmp_path: Path, rows: Any, options: dict[str, Any], message: str) -> None:
    Index.objects.create(name="there")
    queries = tmp_path / "queries.jsonl"
    queries.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with pytest.raises(CommandError, match=message):
        run(queries=queries, **options)
