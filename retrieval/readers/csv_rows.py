"""Read the rows of a CSV file: find its separator and quoting, name its columns, and report what does not fit."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

from retrieval.readers.audience import names_of
from retrieval.readers.csv_quotes import has_open_quote, hides_audience, rows_of, seems_merged
from retrieval.readers.documents import AudienceUnknown, ReadWarning, Unreadable

MAX_COLUMNS = 2000
_FIELD_MAX_CHARS = 1_000_000
_SEPARATORS = ",;\t|"
_SAMPLE_CHARS, _SAMPLE_ROWS = 200_000, 200
_NAMED = 5
_NUMBER = re.compile(r"\s*[-+]?(?!\d{4}\s*\Z)\d+(?:[.,]\d+)?\s*")
"""What is no name of a column; a year may be one."""
_NAME = re.compile(r"(?:[^\W\d][\w ()/@-]{0,40})?")
_SENTENCE_END = re.compile(r"[^\W\d]{4}[.!]\Z")
"""A full stop that ends no abbreviation."""
_SENTENCE_WORDS, _TEXT_WORDS = 3, 5
_MAX_ABOVE, _AGREEING_SHARE, _ABOVE_MAX_CHARS = 20, 0.9, 100
_UNPRUNED = "So no row that is missing is known to be gone."
_SEPARATOR_HINT = re.compile(r"\A\"?sep=(.)\"?[ \t]*(?:\r\n|\r|\n|\Z)", re.IGNORECASE)
"""The first line by which Excel is told the separator."""


@dataclass(frozen=True, kw_only=True)
class CsvRow:
    """A row of a table."""

    values: dict[str, Any]
    line: int
    """The line of the file on which the row ends."""
    columns: Sequence[str] = ()
    """The names of the header, of which a short row has only the first; empty for a row that names its own."""
    surplus: str = ""
    """The cells beyond the last column, with their separators, such as `, a cable`."""
    is_merged: bool = False
    """A quote seems to have made one row of several."""
    is_broken: bool = False
    """It could not be read: it has no values, and its number only."""


@dataclass
class FaultyLines:
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


def csv_rows(text: str, suffix: str) -> Iterator[CsvRow | ReadWarning]:
    """Yield the rows below the header, and warnings; raise Unreadable where the table is broken or too wide."""
    csv.field_size_limit(_FIELD_MAX_CHARS)
    hint = _SEPARATOR_HINT.match(text)
    skipped = 1 if hint else 0
    text = text[hint.end() :] if hint else text
    dialect = _dialect(text, suffix, hint[1] if hint else "")
    lines = _Lines(text)
    reader = csv.reader(lines, **dialect)
    names = list[str]()
    try:
        yield from _passed(reader, _rows_above(_sample(text, dialect)), skipped)
        header: list[str] = next((row for row in reader if any(row)), [])
        if has_open_quote(lines.taken, dialect):
            raise Unreadable("a quote in the header has no end, so the rest of the file is in it")
        if len(header) > MAX_COLUMNS:
            raise Unreadable(f"{len(header):,} columns, and the limit is {MAX_COLUMNS:,}")
        _check_audience(header, text[:_SAMPLE_CHARS].splitlines()[reader.line_num :], reader.line_num + skipped)
        is_row = _is_row(header)
        names, warnings = named_columns([""] * len(header) if is_row else header)
        yield from warnings
        if is_row:
            line = reader.line_num + skipped
            message = f"Line {line:,} names no columns, so they are called {names[0]!r} and so on, and it is a row."
            yield ReadWarning(code="no_header", message=message)
            yield CsvRow(values=dict(zip(names, header, strict=True)), line=line, columns=names)
        audience = [number for number, name in enumerate(names) if names_of([name])]
        ragged, literal, merged, repeated = FaultyLines(), FaultyLines(), FaultyLines(), FaultyLines()
        begins, ends, spanned = 0, reader.line_num, list[str]()
        lines.taken.clear()
        for cells in reader:
            begins, ends = ends, reader.line_num
            spanned = lines.taken.copy()
            lines.taken.clear()
            if ends > begins + 1 and (rows := rows_of(spanned, len(names), dialect)):
                literal.add(begins + 1 + skipped)
                for number, found in enumerate(rows, begins + 1 + skipped):
                    if any(found):
                        yield CsvRow(values=dict(zip(names, found, strict=True)), line=number, columns=names)
                begins = ends
                continue
            while len(cells) > len(names) and not cells[-1].strip():
                cells.pop()
            surplus = "".join(dialect["delimiter"] + cell for cell in cells[len(names) :])
            if surplus:
                ragged.add(ends + skipped)
            is_merged = ends > begins + 1 and (
                seems_merged(spanned, len(names), dialect) or hides_audience(cells, spanned, audience, dialect)
            )
            if is_merged:
                merged.add(begins + 1 + skipped)
            if cells == header and not is_row:  # exports that were put together repeat it
                repeated.add(ends + skipped)
            elif any(cells):
                values = dict(zip(names, cells, strict=False))
                yield CsvRow(
                    values=values, line=ends + skipped, columns=names, surplus=surplus, is_merged=is_merged
                )  # fmt: skip
    except csv.Error as error:
        where, unknown = f"line {reader.line_num + skipped:,}", ", so the audience is not known from there on"
        if names_of(names):
            raise AudienceUnknown(f"{where}: {error}{unknown}") from None
        raise Unreadable(f"{where}: {error}") from None
    if ragged.count:
        message = f"{ragged} had more cells than the {len(names)} columns; they were added to the text."
        yield ReadWarning(code="ragged_rows", message=f"{message[0].upper()}{message[1:]}")
    if repeated.count:
        message = f"The header stands again in {repeated}, which became no document."
        yield ReadWarning(code="repeated_header", message=message)
    if literal.count:
        message = f"A quote that begins in {literal} ends no cell; it was read as a sign, and each line as a row."
        yield ReadWarning(code="quotes_as_text", message=message)
    if merged.count:
        message = f"A quote that begins in {merged} makes one row of lines that look like rows of their own."
        yield ReadWarning(code="merged_rows", message=f"{message} {_UNPRUNED}", hides_rows=True)
    if ends > begins + 1 and has_open_quote(spanned, dialect):
        message = f"A quote that begins in line {begins + 1 + skipped:,} has no end; the rest of the file is one row."
        yield ReadWarning(code="open_quote", message=f"{message} {_UNPRUNED}", hides_rows=True)


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
        {"delimiter": separator, "escapechar": escape, "doublequote": escape is None, "skipinitialspace": is_spaced}
        for separator in separators
        for escape in escapes
        for is_spaced in ((False, True) if f'{separator} "' in sample else (False,))
    ]
    found = max(candidates, key=lambda candidate: _agreement(sample, candidate, is_cut=len(sample) < len(text)))
    head = sample.split("\n", 1)[0]
    is_spaced = head.count(found["delimiter"]) == head.count(found["delimiter"] + " ") > 0
    return found | {"skipinitialspace": is_spaced or found["skipinitialspace"]}


def _sample(text: str, dialect: dict[str, Any]) -> list[list[str]]:
    """Return the first rows; none where they cannot be read so."""
    try:
        return list(islice(csv.reader(io.StringIO(text[:_SAMPLE_CHARS], newline=""), **dialect), _SAMPLE_ROWS))
    except csv.Error:
        return []


def _rows_above(rows: list[list[str]]) -> int:
    """Return how many rows stand above the header: those up to the last title or note, if the rows below agree.

    A title has a single cell, the first, of several words or with an empty row below: `id,,` is a header.
    """
    above = 0
    for number, (row, following) in enumerate(pairwise(rows[:_MAX_ABOVE]), 1):
        if any(row):
            if any(row[1:]) or not (" " in row[0].strip() or row[0].startswith("#") or not any(following)):
                break
            above = number
    table = [row for row in rows[above:] if any(row)]
    is_named = len(table) > 1 and (sum(map(bool, table[0])) > 1 or (len(table[0]) > 1 and names_of(table[0])))
    if not is_named or any(map(_NUMBER.fullmatch, table[0])):
        return 0
    cells = [cell for row in table for cell in row[1:] if cell]
    if sum(cell.startswith(" ") for cell in cells) * 2 > len(cells):
        return 0  # the commas are those of sentences
    agreeing = sum(len(row) == len(table[0]) for row in table)
    return above if agreeing >= _AGREEING_SHARE * len(table) else 0


def _is_row(header: list[str]) -> bool:
    """Return whether the first row is no header: it has a sentence, or a number beside a text.

    A question may be the name of a column, as in a survey.
    """
    if len(header) < 2 or names_of(header):
        return False
    texts = [cell.split() for cell in header]
    if any(len(words) >= _SENTENCE_WORDS and _SENTENCE_END.search(words[-1]) for words in texts):
        return True
    return any(len(words) >= _TEXT_WORDS for words in texts) and any(map(_NUMBER.fullmatch, header))


def _check_audience(header: list[str], below: list[str], line: int) -> None:
    """Raise AudienceUnknown if one of the first rows is the header rather than the row that was taken for it.

    Only a row that names an audience matters: its column would be text, and the rows be for everyone.
    """
    named = sum(map(bool, header))
    if names_of(header):
        return
    for number, row in enumerate(below[:_MAX_ABOVE], line + 1):
        cells = [cell.strip(' "') for cell in re.split(f"[{_SEPARATORS}]", row)]
        if len(cells) > 1 and names_of(cells) and all(map(_NAME.fullmatch, cells)):
            raise AudienceUnknown(f"line {number:,} names an audience as a header does, and is not the first row")
        if 1 < named <= sum(map(bool, cells)):
            return  # a row of the table


def _passed(reader: Any, above: int, skipped: int) -> Iterator[ReadWarning]:
    """Read past the rows above the header; yield a warning that says what is in them."""
    lines, texts = FaultyLines(), list[str]()
    for row in islice(reader, above):
        if any(row):
            lines.add(reader.line_num + skipped)
            texts.append(repr(row[0].strip()[:_ABOVE_MAX_CHARS]))
    if texts:
        message = f"The header is below {lines}, which became no document: {', '.join(texts)}."
        yield ReadWarning(code="rows_above_header", message=message)


def _agreement(sample: str, dialect: dict[str, Any], *, is_cut: bool) -> tuple[float, float, int]:
    """Rate a dialect: the share of rows as wide as the header, then how seldom a space follows, as in prose."""
    rows = _sample(sample, dialect)
    rows = [row for row in rows[_rows_above(rows) :] if any(row)]
    if is_cut and len(rows) > 1 and len(rows) < _SAMPLE_ROWS:
        rows.pop()
    width = len(rows[0]) if rows else 0
    if width < 2:
        return (0, 0, 0)
    share = sum(len(row) == width or (len(row) > width and not any(row[width:])) for row in rows) / len(rows)
    separator = dialect["delimiter"]
    return share, -sample.count(separator + " ") / sample.count(separator), width
