"""Read the rows of a CSV file: find its separator and quoting, name its columns, and report what does not fit."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from retrieval.readers.documents import ReadWarning, Unreadable

MAX_COLUMNS = 2000
_FIELD_MAX_CHARS = 1_000_000
_SEPARATORS = ",;\t|"
_SAMPLE_CHARS, _SAMPLE_ROWS = 200_000, 200
_NAMED = 5
_SEPARATOR_HINT = re.compile(r"\A\"?sep=(.)\"?[ \t]*(?:\r\n|\r|\n|\Z)", re.IGNORECASE)
"""The first line by which Excel is told the separator."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table."""

    values: dict[str, Any]
    line: int
    """The line of the file on which the row ends."""
    surplus: str = ""
    """The cells beyond the last column, with their separators, such as `, a cable`."""
    is_merged: bool = False
    """A quote seems to have made one row of several."""


@dataclass
class Places:
    """The lines at which a fault was found: all are counted, the first few are named."""

    count: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, line: int) -> None:
        self.count += 1
        if self.count <= _NAMED:
            self.first.append(line)

    def __str__(self) -> str:
        named = ", ".join(f"{line:,}" for line in self.first)
        more = f" and {self.count - _NAMED:,} more" if self.count > _NAMED else ""
        return f"line{'s' if self.count > 1 else ''} {named}{more}"


def csv_rows(text: str, suffix: str) -> Iterator[Row | ReadWarning]:
    """Yield the rows below the header, and warnings; raise Unreadable where the table is broken or too wide."""
    csv.field_size_limit(_FIELD_MAX_CHARS)
    hint = _SEPARATOR_HINT.match(text)
    skipped = 1 if hint else 0
    text = text[hint.end() :] if hint else text
    dialect = _dialect(text, suffix, hint[1] if hint else "")
    lines = _Lines(text)
    reader = csv.reader(lines, **dialect)
    try:
        header: list[str] = next((row for row in reader if any(row)), [])
        if len(header) > MAX_COLUMNS:
            raise Unreadable(f"{len(header):,} columns, and the limit is {MAX_COLUMNS:,}")
        names, warnings = named_columns(header)
        yield from warnings
        ragged, literal, merged, begins, ends = Places(), Places(), Places(), 0, reader.line_num
        lines.taken.clear()
        for cells in reader:
            begins, ends = ends, reader.line_num
            spanned = lines.taken.copy()
            lines.taken.clear()
            if ends > begins + 1 and (rows := _rows_of(spanned, len(names), dialect)):
                literal.add(begins + 1 + skipped)
                for number, found in enumerate(rows, begins + 1 + skipped):
                    if any(found):
                        yield Row(values=dict(zip(names, found, strict=True)), line=number)
                begins = ends
                continue
            while len(cells) > len(names) and not cells[-1].strip():
                cells.pop()
            surplus = "".join(dialect["delimiter"] + cell for cell in cells[len(names) :])
            if surplus:
                ragged.add(ends + skipped)
            is_merged = ends > begins + 1 and _seems_merged(spanned, len(names), dialect)
            if is_merged:
                merged.add(begins + 1 + skipped)
            if any(cells):
                values = dict(zip(names, cells, strict=False))
                yield Row(values=values, line=ends + skipped, surplus=surplus, is_merged=is_merged)
    except csv.Error as error:
        raise Unreadable(f"line {reader.line_num + skipped:,}: {error}") from None
    if ragged.count:
        message = f"{ragged} had more cells than the {len(names)} columns; they were added to the text."
        yield ReadWarning(code="ragged_rows", message=f"{message[0].upper()}{message[1:]}")
    if literal.count:
        message = f"A quote that begins in {literal} ends no cell; it was read as a sign, and each line as a row."
        yield ReadWarning(code="quotes_as_text", message=message)
    if merged.count:
        message = f"A quote that begins in {merged} makes one row of lines that look like rows of their own."
        yield ReadWarning(code="merged_rows", message=message)
    if ends > begins + 1 and _is_open(text, begins, dialect):
        message = f"A quote that begins in line {begins + 1 + skipped:,} has no end; the rest of the file is one row."
        yield ReadWarning(code="open_quote", message=message)


class _Lines:
    """The lines of a text, with those that were taken since `taken` was cleared."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self.taken: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.taken.append(line)
        return line


def _rows_of(lines: list[str], width: int, dialect: dict[str, Any]) -> list[list[str]]:
    """Return the rows of lines that a stray quote has made one row of; none if the quotes are meant as such.

    Each line then has as many cells as the header. That may be chance where the separator occurs in texts, so there
    quotes are only doubted if what follows the last one does not belong behind a cell.
    """
    separator = dialect["delimiter"]
    if width < 2 or any(line.count(separator) != width - 1 for line in lines):
        return []
    if separator != "\t" and _is_quoted_well(lines, dialect):
        return []
    return [[_unquoted(cell) for cell in line.rstrip("\r\n").split(separator)] for line in lines]


def _is_quoted_well(lines: list[str], dialect: dict[str, Any]) -> bool:
    try:
        return len(list(csv.reader(lines, strict=True, **dialect))) == 1
    except csv.Error as error:
        return "unexpected end" in str(error)  # a quote without an end has a warning of its own


def _seems_merged(lines: list[str], width: int, dialect: dict[str, Any]) -> bool:
    """Return whether most of the lines within a row have as many cells as the header."""
    inner = lines[1:-1]
    alike = sum(line.count(dialect["delimiter"]) == width - 1 for line in inner)
    return width > 1 and len(inner) > 1 and alike > len(inner) / 2


def _unquoted(cell: str) -> str:
    is_quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"') if is_quoted else cell


def named_columns(header: list[str]) -> tuple[list[str], list[ReadWarning]]:
    """Return a name of its own for each column, and a warning that names the duplicates."""
    given = [" ".join(cell.split()) or f"column {number}" for number, cell in enumerate(header, 1)]
    taken, seen, double, names = set(given), set[str](), dict[str, int](), []
    for name in given:
        new = name
        if name in seen:
            copy = double.get(name, 1)
            while new in taken:
                copy += 1
                new = f"{name} ({copy})"
            double[name] = copy
        taken.add(new)
        seen.add(new)
        names.append(new)
    if not double:
        return names, []
    listed = ", ".join(repr(name[:100]) for name in list(double)[:_NAMED])
    message = f"Several columns are called {listed}; the later ones were read with (2) and so on after the name."
    return names, [ReadWarning(code="duplicate_columns", message=message)]


def _dialect(text: str, suffix: str, hint: str) -> dict[str, Any]:
    """Return the separator and the quoting with which most rows have as many cells as the header."""
    sample = text[:_SAMPLE_CHARS]
    separators = hint or ("\t" if suffix == ".tsv" and "\t" in sample else _SEPARATORS)
    escapes = (None, "\\") if '\\"' in sample else (None,)
    candidates: list[dict[str, Any]] = [
        {"delimiter": separator, "escapechar": escape, "doublequote": escape is None}
        for separator in separators
        for escape in escapes
    ]
    found = max(candidates, key=lambda candidate: _agreement(sample, candidate, is_cut=len(sample) < len(text)))
    head = sample.split("\n", 1)[0]
    is_spaced = head.count(found["delimiter"]) == head.count(found["delimiter"] + " ") > 0
    return found | {"skipinitialspace": is_spaced}


def _agreement(sample: str, dialect: dict[str, Any], *, is_cut: bool) -> tuple[float, float, int]:
    """Rate a dialect: the share of rows as wide as the header, then how seldom a space follows, as in prose."""
    try:
        rows = [row for row in islice(_reader(sample, dialect), _SAMPLE_ROWS) if any(row)]
    except csv.Error:
        return (0, 0, 0)
    if is_cut and len(rows) > 1 and len(rows) < _SAMPLE_ROWS:
        rows.pop()
    width = len(rows[0]) if rows else 0
    if width < 2:
        return (0, 0, 0)
    share = sum(len(row) == width or (len(row) > width and not any(row[width:])) for row in rows) / len(rows)
    separator = dialect["delimiter"]
    return share, -sample.count(separator + " ") / sample.count(separator), width


def _reader(text: str, dialect: dict[str, Any]) -> Any:
    return csv.reader(io.StringIO(text, newline=""), **dialect)


def _is_open(text: str, begins: int, dialect: dict[str, Any]) -> bool:
    last = "".join(islice(io.StringIO(text, newline=""), begins, None))
    return (last.replace('\\"', "") if dialect["escapechar"] else last).count('"') % 2 == 1
