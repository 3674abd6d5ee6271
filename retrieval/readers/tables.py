"""Read CSV and JSON Lines: one document for each row."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from retrieval.readers.documents import FetchedFile, Options, ReadDocument, Unreadable, decode, document
from retrieval.readers.registry import reader

ROLES = {
    "text": ("text", "body", "content", "answer", "description", "article", "markdown"),
    "title": ("title", "name", "headline", "question", "subject", "heading"),
    "id": ("id", "_id", "key", "slug", "sku", "uuid"),
}
"""Names by which the column of each role is recognised if the mapping does not name it."""
_FIELD_MAX_CHARS = 1_000_000
_MAX_ROWS = 1_000_000


@reader(".csv", ".tsv")
def read_csv(file: FetchedFile, options: Options) -> Iterator[ReadDocument]:
    text = decode(file.content)
    csv.field_size_limit(_FIELD_MAX_CHARS)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=_delimiter(file, text), restkey="")
    try:
        yield from _documents(file, options, (({k: v for k, v in row.items() if k}, rows.line_num) for row in rows))
    except csv.Error as error:
        raise Unreadable(f"line {rows.line_num + 1}: {error}") from None


@reader(".jsonl", ".ndjson")
def read_json_lines(file: FetchedFile, options: Options) -> Iterator[ReadDocument]:
    yield from _documents(file, options, _json_rows(decode(file.content)))


def _json_rows(text: str) -> Iterator[tuple[dict[str, Any], int]]:
    for number, line in enumerate(io.StringIO(text), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"line {number} is no JSON ({type(error).__name__})") from None
        if not isinstance(row, dict):
            raise Unreadable(f"line {number} is no JSON object")
        yield row, number


def _delimiter(file: FetchedFile, text: str) -> str:
    if file.suffix == ".tsv":
        return "\t"
    head = text.split("\n", 1)[0][:10_000]
    return max(",;\t|", key=head.count)


def _documents(
    file: FetchedFile, options: Options, rows: Iterator[tuple[dict[str, Any], int]]
) -> Iterator[ReadDocument]:
    """Yield a document for each row; raise Unreadable where a mapped column is missing."""
    columns: dict[str, str] | None = None
    for number, (row, line) in enumerate(rows, 1):
        if number > _MAX_ROWS:
            raise Unreadable(f"more than {_MAX_ROWS:,} rows")
        if columns is None:
            columns = _columns(row, options)
        values = {name: row.get(column) for name, column in columns.items()}
        used = {columns[name] for name in values if values[name] not in (None, "")}
        rest = {name: value for name, value in row.items() if name not in used and value not in (None, "")}
        text = _as_text(values.get("text")) or "\n".join(f"{name}: {_as_text(value)}" for name, value in rest.items())
        if not text.strip():
            continue
        metadata = {**rest, "row": line}
        made = document(file, text, _as_text(values.get("title")), metadata, options)
        own_id = _as_text(values.get("id")).strip()
        # A mapped id is used as it is; a guessed one may occur in another table too, so the file is put before it.
        entity_id = own_id if own_id and "id" in options.mapping else f"{file.entity_id}/{own_id or number}"
        yield ReadDocument(entity_id=entity_id, text=made.text, title=made.title, metadata=made.metadata)


def _columns(row: dict[str, Any], options: Options) -> dict[str, str]:
    missing = [column for column in options.mapping.values() if column not in row]
    if missing:
        raise Unreadable(f"no column {missing[0]!r}; there are {', '.join(list(row)[:20])}")
    by_name = {name.strip().lower(): name for name in row}
    guessed = {role: next((by_name[name] for name in names if name in by_name), None) for role, names in ROLES.items()}
    return {role: column for role, column in guessed.items() if column} | options.mapping


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
