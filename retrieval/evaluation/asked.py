"""Questions of which only the best score matters: an index's golden questions, and those that it cannot answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import InvalidInput
from common.validation import check_text
from retrieval.evaluation.golden import MAX_QUESTIONS, normalised, read_rows
from retrieval.models import GoldenQuestion
from retrieval.search.query import QUERY_MAX_CHARS

_TABLES = (".csv", ".json", ".jsonl")


@dataclass(frozen=True, kw_only=True)
class AskedQuestion:
    text: str
    history: tuple[str, ...] = ()
    """The earlier questions of a conversation, the oldest first."""
    filters: dict[str, Any] = field(default_factory=dict)
    audience: list[str] = field(default_factory=list)


def golden_questions(index_names: Sequence[str], tag: str = "") -> list[AskedQuestion]:
    """Return the enabled golden questions of these indexes, as their askers would ask them."""
    rows = [row for name in index_names for row in GoldenQuestion.objects.all().enabled_in(name, tag)]
    return [
        AskedQuestion(text=row.question, history=tuple(row.history), filters=row.filters, audience=row.audience)
        for row in rows
    ]


def without_conditions(questions: Sequence[AskedQuestion]) -> list[AskedQuestion]:
    """Return the questions for another index, of whose metadata and audiences their own conditions know nothing."""
    return [AskedQuestion(text=question.text, history=question.history) for question in questions]


def read_questions(path: Path) -> list[AskedQuestion]:
    """Return the questions of a file; raise InvalidInput that names the location of the first invalid one.

    CSV, a JSON list and JSON Lines have the column `question`, and may have `history`, a list of earlier questions;
    other columns do not matter, so that exported golden questions can be read. Any other file is text with one
    question on each line.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    if path.suffix.lower() in _TABLES:
        found = [_question(row, location) for location, row in read_rows(raw, path.name)]
    else:
        found = [_question({"question": line}, location) for location, line in _lines(raw)]
    if not found:
        raise InvalidInput(f"{path} has no question.")
    if len(found) > MAX_QUESTIONS:
        raise InvalidInput(f"{path} has more than {MAX_QUESTIONS} questions.")
    return found


def unlike(questions: Sequence[AskedQuestion], others: Sequence[AskedQuestion]) -> list[AskedQuestion]:
    """Return the questions once each, without those that the others ask too."""
    asked = {_key(question) for question in others}
    new: dict[tuple[str, ...], AskedQuestion] = {}
    for question in questions:
        new.setdefault(_key(question), question)
    return [question for key, question in new.items() if key not in asked]


def _key(question: AskedQuestion) -> tuple[str, ...]:
    return (normalised(question.text), *map(normalised, question.history))


def _lines(raw: bytes) -> list[tuple[str, str]]:
    try:
        lines = raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InvalidInput("The file is not UTF-8 text.") from None
    return [(f"Line {number}", line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def _question(row: dict[str, Any], location: str) -> AskedQuestion:
    text, history = row.get("question"), row.get("history") or []
    if not isinstance(history, list):
        raise InvalidInput(f"{location}: history must be a list of the earlier questions.")
    try:
        for asked_text in (text, *history):
            if not check_text(asked_text, "question").strip():
                raise InvalidInput("question must not be empty.")
            if len(asked_text) > QUERY_MAX_CHARS:
                raise InvalidInput(f"question must have at most {QUERY_MAX_CHARS} characters.")
    except InvalidInput as error:
        raise InvalidInput(f"{location}: {error}") from None
    return AskedQuestion(text=str(text), history=tuple(history))
