"""Read CSV and JSON Lines: one document for each row."""

import io
import json
from collections.abc import Iterator
from typing import Any

from retrieval.readers.audience import check_names, mentions_audience, names_of
from retrieval.readers.charsets import decode
from retrieval.readers.csv_rows import CsvRow, FaultyLines, csv_rows, named_columns
from retrieval.readers.documents import (
    AudienceUnknown,
    FetchedFile,
    Options,
    ReadDocument,
    ReadWarning,
    Unreadable,
    document,
    says_nothing,
)
from retrieval.readers.registry import reader

ROLES = {
    "text": ("text", "body", "content", "answer", "description", "article", "markdown"),
    "title": ("title", "name", "headline", "question", "subject", "heading"),
    "id": ("id", "_id", "key", "slug", "sku", "uuid"),
}
"""Names by which the column of each role is recognised if the mapping does not name it."""
_OWN = ("row", "path")
"""What a document's metadata has itself: a column of that name keeps its values under another."""
_MAX_ROWS = 1_000_000
_FIRST_ROWS = 1000
"""Objects that name their own columns are looked through so far for a mapped one."""


@reader(".csv", ".tsv")
def read_csv(file: FetchedFile, options: Options) -> Iterator[ReadDocument | ReadWarning]:
    text, warnings = decode(file)
    yield from warnings
    yield from _documents(file, options, csv_rows(text, file.suffix))


@reader(".jsonl", ".ndjson")
def read_json_lines(file: FetchedFile, options: Options) -> Iterator[ReadDocument | ReadWarning]:
    text, warnings = decode(file)
    yield from warnings
    yield from _documents(file, options, _json_rows(text))


def _json_rows(text: str) -> Iterator[CsvRow | ReadWarning]:
    """Yield a row for each line; raise Unreadable at the end if some are no JSON objects, with their numbers.

    Where one of them, or any row, names an audience, it is not known who may read what was on those lines.
    """
    broken, reason, good, double = FaultyLines(), "", 0, FaultyLines()
    has_audience = False

    def named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names, warnings = named_columns([name for name, _ in pairs])
        if warnings:
            double.add(number)
            return dict(zip(names, (value for _, value in pairs), strict=True))
        return dict(pairs)

    for number, line in enumerate(io.StringIO(text), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=named, parse_constant=str)
        except (ValueError, RecursionError) as error:
            row, kind = None, f" ({type(error).__name__})"
        else:
            kind = " object"
        is_object = isinstance(row, dict)
        has_audience = has_audience or (bool(names_of(row)) if is_object else mentions_audience(line))
        if is_object:
            good += 1
        else:
            broken.add(number)
            reason = reason or f"no JSON{kind}"
        yield CsvRow(values=row if is_object else {}, line=number, is_broken=not is_object)
    if double.count:
        yield ReadWarning(code="duplicate_columns", message=f"Objects on {double} have a name twice; both were read.")
    if broken.count:
        others = f"; the other {good:,} were read" if good else ""
        unknown = ", so the audience is not known" if has_audience else ""
        kind_of_error = AudienceUnknown if has_audience else Unreadable
        raise kind_of_error(f"{broken} {'are' if broken.count > 1 else 'is'} {reason}{unknown}{others}")


def _documents(
    file: FetchedFile, options: Options, rows: Iterator[CsvRow | ReadWarning]
) -> Iterator[ReadDocument | ReadWarning]:
    """Yield a document for each row; raise Unreadable where a mapped column is missing, or a row's audience unclear."""
    number, names, columns = 0, None, dict[str, str]()
    ids, empty, shifted, prefix = _Ids(), FaultyLines(), FaultyLines(), file.entity_id
    for row in _mapped(rows, options):
        if isinstance(row, ReadWarning):
            yield row
            continue
        number += 1
        if row.is_broken:
            continue
        check_names(row.values)
        if names_of(row.values) and (row.surplus or row.is_merged):  # which cell is the audience is not known
            shifted.add(row.line)
            continue
        if number > _MAX_ROWS:
            raise Unreadable(f"more than {_MAX_ROWS:,} rows")
        if names != row.values.keys():
            columns, names = _columns(row.values, options), row.values.keys()
        text, title, rest = _parts(row, columns)
        if says_nothing(text):
            empty.add(row.line)
            continue
        made = document(file, text, title, rest | {"row": row.line}, options)
        own_id = _as_text(row.values.get(columns.get("id", ""))).strip()
        # A mapped id is used as it is; a guessed one may occur in another table too, so the file is put before it.
        entity_id = own_id if own_id and "id" in options.mapping else f"{prefix}/{own_id or number}"
        unique = ids.unique(entity_id, own_id, row.line)
        yield ReadDocument(entity_id=unique, text=made.text, title=made.title, metadata=made.metadata)
    yield from ids.warnings()
    if empty.count:
        yield ReadWarning(code="empty_rows", message=f"There is no text on {empty}.")
    if shifted.count:
        is_or_are = "are" if shifted.count > 1 else "is"
        raise AudienceUnknown(
            f"{shifted} {is_or_are} no row of the columns, so the audience is not known; the others were read"
        )


def _mapped(rows: Iterator[CsvRow | ReadWarning], options: Options) -> Iterator[CsvRow | ReadWarning]:
    """Yield the rows from where all mapped columns were met on, the first ones too; raise Unreadable if one is not."""
    missing, names = set(options.mapping.values()), dict[str, None]()
    waiting: list[CsvRow | ReadWarning] = []
    failure: Unreadable | None = None
    try:
        for row in rows:
            waiting.append(row)
            if missing and isinstance(row, CsvRow):
                names |= dict.fromkeys(row.columns or row.values)
                missing -= names.keys()
            if not missing:
                yield from waiting
                waiting.clear()
            elif len(waiting) >= _FIRST_ROWS:
                break
    except Unreadable as error:  # the rows before it are read all the same
        failure = error
    if missing and names:
        column = next(column for column in options.mapping.values() if column in missing)
        raise Unreadable(f"no column {column!r}; there are {', '.join(list(names)[:20])}")
    yield from waiting
    if failure is not None:
        raise failure


def _parts(row: CsvRow, columns: dict[str, str]) -> tuple[str, str, dict[str, Any]]:
    """Return a row's text, its title, and its other values; a row without text has its title as text."""
    values, surplus = dict(row.values), row.surplus
    last, text_column = next(reversed(values), ""), columns.get("text")
    if surplus and text_column in (None, last):  # most likely a text whose commas should have been quoted
        values[last], surplus = _as_text(values[last]) + surplus, ""
    used = {column for column in columns.values() if values.get(column) not in (None, "")} - {*names_of(values)}
    rest = {name: value for name, value in values.items() if name not in used and value not in (None, "")}
    title = _as_text(values.get(columns.get("title", "")))
    said = {k: v for k, v in rest.items() if k not in names_of(rest)}
    texts = [_as_text(v) for k, v in values.items() if text_column and (k == text_column or _is_copy(k, text_column))]
    text = "\n".join(filter(None, texts))
    if says_nothing(text):  # such as the dash of an empty cell
        text = "\n".join(f"{k}: {_as_text(v)}" for k, v in said.items())
    text = (text or title) + (f"\n{surplus}" if surplus else "")
    return text, title, {f"{name} (column)" if name in _OWN else name: value for name, value in rest.items()}


def _is_copy(name: str, column: str) -> bool:
    """Return whether `named_columns` gave the name to a second column of that name."""
    return name.startswith(f"{column} (") and name[len(column) + 2 : -1].isdecimal()


class _Ids:
    """The ids of a table's documents; a second row with an id gets another, and is reported."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._double = FaultyLines()
        self._example = ""

    def unique(self, entity_id: str, own_id: str, line: int) -> str:
        if entity_id not in self._taken:
            self._taken[entity_id] = 1
            return entity_id
        self._double.add(line)
        self._example = self._example or own_id or entity_id
        while (copy := f"{entity_id}#{self._count(entity_id)}") in self._taken:
            pass
        self._taken[copy] = 1
        return copy

    def _count(self, entity_id: str) -> int:
        self._taken[entity_id] += 1
        return self._taken[entity_id]

    def warnings(self) -> Iterator[ReadWarning]:
        if self._double.count:
            message = (
                f"The ids of {self._double} occur before, such as {self._example[:100]!r}: "
                "those rows are documents of their own, with #2 and so on after the id."
            )
            yield ReadWarning(code="duplicate_ids", message=message)


def _columns(row: dict[str, Any], options: Options) -> dict[str, str]:
    by_name = {name.strip().lower(): name for name in reversed(list(row))}
    guessed = {role: next((by_name[name] for name in names if name in by_name), None) for role, names in ROLES.items()}
    return {role: column for role, column in guessed.items() if column} | options.mapping


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
