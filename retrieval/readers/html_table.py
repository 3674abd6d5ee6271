"""Lay out an HTML table as rows of equal length, each cell in the column that it belongs to."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_LAYOUT = ("table", "pre", "h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = ("p", "ul", "ol", "dl", "div")
_MAX_COLSPAN = 1000
_MAX_CELLS = 200_000


@dataclass
class _Cell:
    element: Any
    row: int
    column: int
    rows: int
    columns: int


def is_layout(table: Any) -> bool:
    """Return whether a table arranges a page, so that its cells are texts one after another."""
    rows = _rows(table)
    if table.get("role") in ("presentation", "none") or max((len(row) for row in rows), default=0) < 2:
        return True
    cells = [cell for row in rows for cell in row]
    if any(cell.tag == "th" for cell in cells):
        return False
    return any(
        next(cell.iter(*_LAYOUT), None) is not None or (len(rows) == 1 and sum(1 for _ in cell.iter(*_BLOCKS)) > 1)
        for cell in cells
    )


def cells_of(table: Any) -> list[Any]:
    return [cell for row in _rows(table) for cell in row]


def markdown_rows(table: Any, text_of: Callable[[Any], str]) -> list[list[str]]:
    """Return the texts of a table's rows, of which the first is the header.

    A merged cell stands in each row and column that it covers; one that covers a whole row stands there once. Rows of
    the header are joined into one.
    """
    rows = _rows(table)
    placed = _placed(rows)
    starts = sorted({cell.column for cell in placed})
    if not placed or len(rows) * len(starts) > _MAX_CELLS:
        plain = [[text_of(cell) for cell in row] for row in rows if row]
        width = max(map(len, plain), default=0)
        return [row + [""] * (width - len(row)) for row in plain] if len(plain) * width <= _MAX_CELLS else plain
    grid = [[""] * len(starts) for _ in rows]
    for cell in placed:
        text = text_of(cell.element)
        covered = range(bisect_left(starts, cell.column), bisect_left(starts, cell.column + cell.columns))
        for row in range(cell.row, cell.row + cell.rows):
            for column in covered[:1] if len(covered) == len(starts) > 1 else covered:
                grid[row][column] = text
    head = _header_rows(rows)
    header = [" ".join(dict.fromkeys(filter(None, texts))) for texts in zip(*grid[:head], strict=True)]
    return [header, *[row for row in grid[head:] if any(row)]]


def _rows(table: Any) -> list[list[Any]]:
    """Return the cells of the table's own rows, not of tables in its cells: the head first, the foot last."""
    parts: dict[str, list[Any]] = {"thead": [], "tbody": [], "tfoot": []}
    for child in table:
        if child.tag == "tr":
            parts["tbody"].append(child)
        elif child.tag in parts:
            parts[child.tag] += [row for row in child if row.tag == "tr"]
    return [[cell for cell in row if cell.tag in ("td", "th")] for rows in parts.values() for row in rows]


def _placed(rows: list[list[Any]]) -> list[_Cell]:
    """Return each cell with its place, as browsers lay it out: beside cells that reach down from rows above.

    Return nothing for a table whose cells reach over too much.
    """
    placed = []
    reached = 0
    reaching: dict[int, int] = {}
    """For each column that a cell from above reaches into: the row where it ends."""
    for number, row in enumerate(rows):
        reaching = {column: end for column, end in reaching.items() if end > number}
        reached += len(reaching)
        if reached > _MAX_CELLS:
            return []
        column = 0
        for element in row:
            while column in reaching:
                column += 1
            columns = _span(element, "colspan", _MAX_COLSPAN)
            height = _span(element, "rowspan", len(rows) - number) or len(rows) - number
            placed.append(_Cell(element, number, column, height, columns or 1))
            if height > 1:
                reaching.update(dict.fromkeys(range(column, column + (columns or 1)), number + height))
            column += columns or 1
    return placed


def _span(element: Any, name: str, at_most: int) -> int:
    value = (element.get(name) or "1").strip()
    return min(int(value), at_most) if value.isascii() and value.isdigit() and len(value) < 8 else 1


def _header_rows(rows: list[list[Any]]) -> int:
    """Return the number of rows that make the header: all that consist of header cells only, at least one."""
    count = 0
    while count < len(rows) - 1 and rows[count] and all(cell.tag == "th" for cell in rows[count]):
        count += 1
    in_head = sum(1 for row in rows if row and row[0].getparent().getparent().tag == "thead")
    return max(1, count, in_head if in_head < len(rows) else 1)
