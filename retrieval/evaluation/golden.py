"""Golden questions: what makes a hit right, and how they come in and go out as files.

JSON Lines, a JSON list, or CSV, whose lists are separated by `|`; the fields are those of `FIELDS`.
"""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from common.errors import InvalidInput
from common.validation import check_key, check_text, to_json
from retrieval.models import GoldenQuestion, Index
from retrieval.models.golden import question_digest
from retrieval.search.hits import Hit
from retrieval.search.query import QUERY_MAX_CHARS

FIELDS = ("question", "expected_documents", "expected_text", "filters", "audience", "tags", "is_enabled")
MAX_QUESTIONS = 10_000
_LISTS = ("expected_documents", "audience", "tags")
_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no"}


@dataclass(frozen=True, kw_only=True)
class Golden:
    """A checked golden question, as a file or a form says it."""

    question: str
    expected_documents: list[str] = field(default_factory=list)
    expected_text: str = ""
    filters: dict[str, Any] = field(default_factory=dict)
    audience: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    is_enabled: bool = True

    def __post_init__(self) -> None:
        """Raise InvalidInput, its message beginning with the field's name."""
        if not check_text(self.question, "question").strip():
            raise InvalidInput("question must not be empty.")
        if len(self.question) > QUERY_MAX_CHARS:
            raise InvalidInput(f"question must have at most {QUERY_MAX_CHARS} characters.")
        check_text(self.expected_text, "expected_text")
        for name in _LISTS:
            values = getattr(self, name)
            if not isinstance(values, list):
                raise InvalidInput(f"{name} must be a list.")
            for value in values:
                if len(check_key(value, name)) > (limit := 255 if name == "expected_documents" else 100):
                    raise InvalidInput(f"{name} must have at most {limit} characters each.")
        if not isinstance(self.filters, dict):
            raise InvalidInput("filters must be an object.")
        to_json(self.filters, "filters")
        if not isinstance(self.is_enabled, bool):
            raise InvalidInput("is_enabled must be true or false.")
        if not self.expected_documents and not normalised(self.expected_text):
            raise InvalidInput("expected_documents or expected_text must say what is right.")


def normalised(text: str) -> str:
    """Return the text as it is compared: NFKC, one case, single spaces."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()


def ranking_of(hits: Sequence[Hit], golden: GoldenQuestion) -> tuple[list[str], dict[str, int]]:
    """Return the hits as ids for the measures of `metrics`, and the grades of what is right.

    A right hit is of an expected document and holds the expected text, as far as each is given. Ranks count hits,
    since they are what a context gets; the second right hit of one document takes a place and gains nothing.
    """
    text = normalised(golden.expected_text)
    targets = {f"document:{each}": 1 for each in golden.expected_documents} or {"text": 1}
    ranking: list[str] = []
    for place, hit in enumerate(hits):
        holds_text = not text or text in normalised(hit.content)
        asked = [f"document:{each}" for each in golden.expected_documents if each in documents_of(hit)]
        right = asked if golden.expected_documents else ["text"]
        new = [target for target in right if holds_text and target not in ranking]
        ranking.append(new[0] if new else f"hit:{place}")
    return ranking, targets


def documents_of(hit: Hit) -> set[str]:
    """Return the hit's document, and those whose nearly same passage was left out for it."""
    return {hit.document_id, *hit.duplicates}


def expectation(golden: GoldenQuestion) -> str:
    """Say in words what a right hit is."""
    parts = [" or ".join(golden.expected_documents)] if golden.expected_documents else []
    return " with ".join(parts + ([f"“{golden.expected_text}”"] if golden.expected_text else []))


def read_golden(raw: bytes, name: str) -> list[Golden]:
    """Return the questions of a file; raise InvalidInput that names the first bad one and its line or number."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput("The file is not UTF-8 text.") from None
    rows = _read_csv(text) if name.lower().endswith(".csv") else _read_json(text)
    found: list[Golden] = []
    for place, row in rows:
        if len(found) == MAX_QUESTIONS:
            raise InvalidInput(f"The file has more than {MAX_QUESTIONS} questions.")
        try:
            if unknown := sorted(set(row) - set(FIELDS)):
                raise InvalidInput(f"{unknown[0]!r} is no field; there are {', '.join(FIELDS)}.")
            found.append(Golden(**row))
        except (InvalidInput, TypeError) as error:
            reason = str(error) if isinstance(error, InvalidInput) else "question is missing."
            raise InvalidInput(f"{place}: {reason}") from None
    if not found:
        raise InvalidInput("The file has no question.")
    return found


def save_golden(index: Index, questions: Iterable[Golden], *, only_new: bool = False) -> tuple[int, int]:
    """Add the questions, or write over those that ask the same; return (added, changed), all or nothing.

    `only_new` leaves alone what is there.
    """
    added = changed = 0
    with transaction.atomic():
        for each in questions:
            digest = question_digest(each.question, each.filters, each.audience)
            values = {name: getattr(each, name) for name in FIELDS}
            row = GoldenQuestion.objects.filter(index=index, digest=digest).first()
            if row is None:
                GoldenQuestion.objects.create(index=index, **values)
                added += 1
            elif not only_new and any(getattr(row, name) != value for name, value in values.items()):
                for name, value in values.items():
                    setattr(row, name, value)
                row.save()
                changed += 1
    return added, changed


def to_json_lines(questions: Iterable[GoldenQuestion]) -> str:
    return "".join(
        f"{json.dumps({name: getattr(each, name) for name in FIELDS}, ensure_ascii=False)}\n" for each in questions
    )


def to_csv(questions: Iterable[GoldenQuestion]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(FIELDS)
    for each in questions:
        writer.writerow(_cell(getattr(each, name)) for name in FIELDS)
    return out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, list):
        # A value that holds the separator can only be said in JSON.
        is_plain = not any("|" in each or each.startswith("[") for each in value)
        return "|".join(value) if is_plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False) if value else ""
    return str(value).lower() if isinstance(value, bool) else value


def _read_csv(text: str) -> Iterable[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text))
    try:
        for row in reader:
            place = f"Line {reader.line_num}"
            if None in row or None in row.values():
                raise InvalidInput(f"{place}: it has not as many cells as the first line.")
            yield place, {name: _uncell(name, cell, place) for name, cell in row.items() if cell or name == "question"}
    except csv.Error as error:
        raise InvalidInput(f"Line {reader.line_num}: this is no CSV ({error}).") from None


def _uncell(name: str, cell: str, place: str) -> Any:
    if name == "is_enabled" and cell.lower() in _TRUE | _FALSE:
        return cell.lower() in _TRUE
    if name == "filters" or (name in _LISTS and cell.startswith("[")):
        return _loads(cell, place)
    return [each.strip() for each in cell.split("|") if each.strip()] if name in _LISTS else cell


def _read_json(text: str) -> Iterable[tuple[str, dict[str, Any]]]:
    if text.lstrip().startswith("["):
        rows = [(f"Question {number}", row) for number, row in enumerate(_loads(text, "The file"), 1)]
    else:
        lines = enumerate(text.splitlines(), 1)
        rows = [(f"Line {number}", _loads(line, f"Line {number}")) for number, line in lines if line.strip()]
    for place, row in rows:
        if not isinstance(row, dict):
            raise InvalidInput(f"{place}: expected a JSON object.")
        yield place, row


def _loads(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput(f"{place}: this is no JSON.") from None
