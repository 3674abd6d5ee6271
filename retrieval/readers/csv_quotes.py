"""Find out what a quote that spans lines of a CSV file means: a cell of several lines, a stray sign, or hidden rows."""

import csv
from collections.abc import Sequence
from typing import Any


def rows_of(lines: list[str], width: int, dialect: dict[str, Any]) -> list[list[str]]:
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


def seems_merged(lines: list[str], width: int, dialect: dict[str, Any]) -> bool:
    """Return whether most of the lines within a row have as many cells as the header."""
    inner = lines[1:-1]
    alike = sum(line.count(dialect["delimiter"]) == width - 1 for line in inner)
    return width > 1 and len(inner) > 1 and alike > len(inner) / 2


def hides_audience(cells: list[str], lines: list[str], audience: Sequence[int], dialect: dict[str, Any]) -> bool:
    """Return whether a row of several lines may hold others, with an audience of their own.

    `audience` has the numbers of the columns that name one: without them nothing can be hidden. A text of several lines
    is no such row, but what cannot be told from it would be found by whoever may read the first of the rows.
    """
    if not audience:
        return False
    if has_open_quote(lines, dialect) or not _is_quoted_well(lines, dialect):
        return True
    separator, is_spaced = dialect["delimiter"], dialect["skipinitialspace"]
    for number, cell in enumerate(cells):
        first, *others = cell.splitlines() or [""]
        if others and _names_audience(first.split(separator), [index - number for index in audience], is_spaced):
            return True
        if any(_names_audience(line.split(separator), audience, is_spaced) for line in others):
            return True
    return False


def _names_audience(parts: list[str], audience: Sequence[int], is_spaced: bool) -> bool:
    """Return whether a line within a cell has a text, and an audience where rows have it.

    Behind the commas of prose there is a space: behind all of them, or where the audience would be.
    """
    named = [parts[index] for index in audience if 0 <= index < len(parts)]
    texts = (part for index, part in enumerate(parts) if index not in audience)
    if not any(map(str.strip, named)) or not any(map(str.strip, texts)):
        return False
    behind = parts[1:] if len(parts) > max(audience) + 1 else named
    return is_spaced or not behind or not all(part.startswith(" ") for part in behind)


def _unquoted(cell: str) -> str:
    is_quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"') if is_quoted else cell


def has_open_quote(lines: list[str], dialect: dict[str, Any]) -> bool:
    """Return whether the last quote of a row's lines has no end."""
    row = "".join(lines)
    return (row.replace('\\"', "") if dialect["escapechar"] else row).count('"') % 2 == 1
