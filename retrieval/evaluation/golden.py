"""Golden questions: judge hits by them, and import and export them as files.

The formats are JSON Lines, a JSON list, and CSV with lists separated by `|`; the fields are those of `FIELDS`.
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

from common.csv_cells import from_cell, to_cell
from common.errors import InvalidInput
from common.text import single_line
from common.validation import check_key, check_text, to_json
from retrieval.models import GoldenQuestion, Index
from retrieval.models.golden import question_digest
from retrieval.readers import FetchedFile, Unreadable
from retrieval.readers.charsets import decode
from retrieval.search.filters import AUDIENCE_MAX_CHARS
from retrieval.search.hits import Hit
from retrieval.search.query import QUERY_MAX_CHARS

FIELDS = ("question", "history", "expected_documents", "expected_text", "filters", "audience", "tags", "is_enabled")
MAX_QUESTIONS = 10_000
MAX_HISTORY = 50
_LISTS = {"history": QUERY_MAX_CHARS, "expected_documents": 255, "audience": AUDIENCE_MAX_CHARS, "tags": 100}
"""The fields that are lists of texts, and the longest text of each."""
_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no"}


@dataclass(frozen=True, kw_only=True)
class GoldenRecord:
    """A checked golden question from a file or a form."""

    question: str
    history: list[str] = field(default_factory=list)
    """What was asked before it, the oldest first, each in a single line."""
    expected_documents: list[str] = field(default_factory=list)
    expected_text: str = ""
    filters: dict[str, Any] = field(default_factory=dict)
    audience: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    is_enabled: bool = True

    def __post_init__(self) -> None:
        """Check all fields; raise InvalidInput whose message begins with the field's name."""
        if not check_text(self.question, "question").strip():
            raise InvalidInput("question must not be empty.")
        if len(self.question) > QUERY_MAX_CHARS:
            raise InvalidInput(f"question must have at most {QUERY_MAX_CHARS} characters.")
        check_text(self.expected_text, "expected_text")
        for name, limit in _LISTS.items():
            values = getattr(self, name)
            if not isinstance(values, list):
                raise InvalidInput(f"{name} must be a list.")
            for value in values:
                if len(check_key(value, name, QUERY_MAX_CHARS)) > limit:
                    raise InvalidInput(f"{name} must have at most {limit} characters each.")
        if len(self.history) > MAX_HISTORY:
            raise InvalidInput(f"history must have at most {MAX_HISTORY} questions.")
        object.__setattr__(self, "history", [single_line(question) for question in self.history])
        if not isinstance(self.filters, dict):
            raise InvalidInput("filters must be an object.")
        to_json(self.filters, "filters")
        if not isinstance(self.is_enabled, bool):
            raise InvalidInput("is_enabled must be true or false.")
        if not self.expected_documents and not normalised(self.expected_text):
            raise InvalidInput("expected_documents or expected_text must say what is right.")


def normalised(text: str) -> str:
    """Return the text normalised for comparison: NFKC, case-folded, single spaces."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()


def ranking_of(hits: Sequence[Hit], golden: GoldenQuestion) -> tuple[list[str], dict[str, int]]:
    """Return the hits as ids for the measures of `metrics`, and the grades of the expected ids.

    A right hit belongs to an expected document and contains the expected text, as far as each is given. Ranks count
    hits, since a context is given hits; the second right hit of one document takes a rank and scores nothing.
    """
    text = normalised(golden.expected_text)
    targets = {f"document:{document_id}": 1 for document_id in golden.expected_documents} or {"text": 1}
    ranking: list[str] = []
    for index, hit in enumerate(hits):
        contains_text = not text or text in normalised(hit.content)
        expected = [
            f"document:{document_id}" for document_id in golden.expected_documents if document_id in documents_of(hit)
        ]
        right = expected if golden.expected_documents else ["text"]
        new = [target for target in right if contains_text and target not in ranking]
        ranking.append(new[0] if new else f"hit:{index}")
    return ranking, targets


def documents_of(hit: Hit) -> set[str]:
    """Return the hit's document, and those whose passages say the same and were left out for it."""
    return {hit.document_id, *hit.duplicates}


def expectation(golden: GoldenQuestion) -> str:
    """Return in words what a right hit is."""
    parts = [" or ".join(golden.expected_documents)] if golden.expected_documents else []
    return " with ".join(parts + ([f"“{golden.expected_text}”"] if golden.expected_text else []))


def read_golden(raw: bytes, name: str) -> list[GoldenRecord]:
    """Return the questions of a file; raise InvalidInput that names the first invalid one by its line or number."""
    found: list[GoldenRecord] = []
    for location, row in read_rows(raw, name):
        if len(found) == MAX_QUESTIONS:
            raise InvalidInput(f"The file has more than {MAX_QUESTIONS} questions.")
        try:
            if unknown := sorted(set(row) - set(FIELDS)):
                raise InvalidInput(f"{unknown[0]!r} is no field; there are {', '.join(FIELDS)}.")
            found.append(GoldenRecord(**row))
        except (InvalidInput, TypeError) as error:
            reason = str(error) if isinstance(error, InvalidInput) else "question is missing."
            raise InvalidInput(f"{location}: {reason}") from None
    if not found:
        raise InvalidInput("The file has no question.")
    return found


def read_rows(raw: bytes, name: str) -> Iterable[tuple[str, dict[str, Any]]]:
    """Return each row of a CSV or JSON file of questions, with its location; raise InvalidInput for what is none."""
    text = _decoded(raw, name)
    return _read_csv(text) if name.lower().endswith(".csv") else _read_json(text)


def _decoded(raw: bytes, name: str) -> str:
    """Return the text of a file in any encoding; raise InvalidInput if some of it is lost, as nobody would notice."""
    try:
        text, warnings = decode(FetchedFile(path=name, content=raw))
    except Unreadable as error:
        raise InvalidInput(f"The file is no text: {error}.") from None
    if lost := next((warning for warning in warnings if warning.code == "undecodable_bytes"), None):
        raise InvalidInput(f"The file is damaged, or in an unknown encoding; save it as UTF-8. {lost.message}")
    return text


def save_golden(index: Index, questions: Iterable[GoldenRecord], *, only_new: bool = False) -> tuple[int, int]:
    """Add the questions, and update those that exist, in one transaction; return (added, changed).

    A question exists if one with the same text, history, filters and audience does; `only_new` does not update it.
    """
    added = changed = 0
    with transaction.atomic():
        for golden in questions:
            digest = question_digest(golden.question, golden.filters, golden.audience, golden.history)
            values = {name: getattr(golden, name) for name in FIELDS}
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
    """Return the questions as JSON Lines, which `read_golden` reads."""
    return "".join(
        f"{json.dumps({name: getattr(question, name) for name in FIELDS}, ensure_ascii=False)}\n"
        for question in questions
    )


def to_csv(questions: Iterable[GoldenQuestion]) -> str:
    """Return the questions as CSV, which `read_golden` reads."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(FIELDS)
    for question in questions:
        writer.writerow(to_cell(_cell(getattr(question, name))) for name in FIELDS)
    return out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, list):
        # A value that contains the separator can only be written as JSON.
        is_plain = not any("|" in item or item.startswith("[") for item in value)
        return "|".join(value) if is_plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False) if value else ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read_csv(text: str) -> Iterable[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text))
    try:
        for row in reader:
            location = f"Line {reader.line_num}"
            if None in row or None in row.values():
                raise InvalidInput(f"{location}: it has not as many cells as the first line.")
            yield (
                location,
                {
                    name: _parse_cell(name, from_cell(cell), location)
                    for name, cell in row.items()
                    if cell or name == "question"
                },
            )
    except csv.Error as error:
        raise InvalidInput(f"Line {reader.line_num}: this is no CSV ({error}).") from None


def _parse_cell(name: str, cell: str, location: str) -> Any:
    if name == "is_enabled" and cell.lower() in _TRUE | _FALSE:
        return cell.lower() in _TRUE
    if name == "filters" or (name in _LISTS and cell.startswith("[")):
        return _loads(cell, location)
    return [part.strip() for part in cell.split("|") if part.strip()] if name in _LISTS else cell


def _read_json(text: str) -> Iterable[tuple[str, dict[str, Any]]]:
    if text.lstrip().startswith("["):
        rows = [(f"Question {number}", row) for number, row in enumerate(_loads(text, "The file"), 1)]
    else:
        lines = enumerate(text.splitlines(), 1)
        rows = [(f"Line {number}", _loads(line, f"Line {number}")) for number, line in lines if line.strip()]
    for location, row in rows:
        if not isinstance(row, dict):
            raise InvalidInput(f"{location}: expected a JSON object.")
        yield location, row


def _loads(text: str, location: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput(f"{location}: this is no JSON.") from None
