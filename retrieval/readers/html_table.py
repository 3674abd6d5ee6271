"""Lay out an HTML table as rows of equal length, each cell in the column that it belongs to."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

_LAYOUT = ("table", "pre", "h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = ("p", "ul", "ol", "dl", "div")
_GROUPS = ("thead", "tbody", "tfoot")
_COLUMNS = ("caption", "colgroup", "col")
_MAX_COLSPAN = 1000
_MAX_CELLS = 200_000
_CELL_WORDS, _CELL_NODES = 50, 200
"""A cell of a table of data has no more; what arranges a page has whole articles in its cells."""
_PLAIN_SHARE = 2 / 3


@dataclass
class _Cell:
    element: Any
    row: int
    column: int
    rows: int
    columns: int


@dataclass
class _Group:
    """A head, body or foot of a table."""

    tag: str
    rows: list[list[Any]] = field(default_factory=list)


class Table:
    """The cells of a table's own rows, not of tables in its cells: the head first, the foot last.

    Where tags are not in their places, it is read as browsers read it: rows may stand in a form, and cells in no row.
    """

    def __init__(self, element: Any) -> None:
        self.element = element
        self.strays: list[Any] = []
        """Texts and elements between the cells, which browsers show above the table."""
        self._groups = [_Group("tbody")]
        self._collect(element, None)
        self._groups.sort(key=lambda group: {"thead": 0, "tfoot": 2}.get(group.tag, 1))
        self.rows = [row for group in self._groups for row in group.rows]
        self.head_rows = sum(len(group.rows) for group in self._groups if group.tag == "thead")

    @property
    def cells(self) -> list[Any]:
        return [cell for row in self.rows for cell in row]

    def ends(self) -> list[int]:
        """Return for each row where its group ends, which no cell reaches beyond."""
        ends = list[int]()
        for group in self._groups:
            ends += [len(ends) + len(group.rows)] * len(group.rows)
        return ends

    def _collect(self, parent: Any, row: list[Any] | None) -> None:
        """Add what is in the table or a part of it; `row` is the one that its cells belong to."""
        self._add_text(parent.text)
        for child in parent:
            if child.tag in ("td", "th"):
                row = self._new_row() if row is None else row
                row.append(child)
            elif child.tag == "tr":
                self._collect(child, self._new_row())
                row = None
            elif child.tag in _GROUPS:
                self._groups.append(_Group(self._kind(child.tag)))
                self._collect(child, None)
                self._groups.append(_Group("tbody"))
                row = None
            elif _has_cells(child):
                self._collect(child, row)
            elif child.tag not in _COLUMNS:
                self.strays.append(child)
            self._add_text(child.tail)

    def _kind(self, tag: str) -> str:
        """Return what a group is: after the first head and foot, others are bodies."""
        return "tbody" if any(group.tag == tag for group in self._groups) else tag

    def _new_row(self) -> list[Any]:
        row: list[Any] = []
        self._groups[-1].rows.append(row)
        return row

    def _add_text(self, text: str | None) -> None:
        if text and not text.isspace():
            self.strays.append(text)


def _has_cells(element: Any) -> bool:
    """Return whether an element that is misplaced in a table has rows or cells of it."""
    found = next(element.iter("table", "tr", "td", "th"), None)
    return found is not None and found.tag != "table"


def is_layout(table: Table) -> bool:
    """Return whether a table arranges a page, so that its cells are texts one after another."""
    rows = table.rows
    if table.element.get("role") in ("presentation", "none") or max((len(row) for row in rows), default=0) < 2:
        return True
    cells = [cell for row in rows for cell in row]
    if any(cell.tag == "th" for cell in cells) or _is_data(rows):
        return False
    return any(
        next(cell.iter(*_LAYOUT), None) is not None or (len(rows) == 1 and sum(1 for _ in cell.iter(*_BLOCKS)) > 1)
        for cell in cells
    )


def _is_data(rows: list[list[Any]]) -> bool:
    """Return whether all cells of several rows are short, and most are no parts of a page, such as a table."""
    cells = [cell for row in rows for cell in row]
    if sum(len(row) > 1 for row in rows) < 2 or not all(map(_is_short, cells)):
        return False
    return sum(map(_is_plain, cells)) >= _PLAIN_SHARE * len(cells)


def _is_plain(cell: Any) -> bool:
    """Return whether a short cell has no block, or is one: Word's heading of a column, or a command."""
    block = next(cell.iter(*_LAYOUT), None)
    is_whole = block is not None and block.text_content().strip() == cell.text_content().strip()
    return block is None or (block.tag != "table" and is_whole)


def _is_short(cell: Any) -> bool:
    nodes = list(islice(cell.iter(), _CELL_NODES + 1))
    words = sum(len(f"{node.text or ''} {node.tail or ''}".split()) for node in nodes)
    return len(nodes) <= _CELL_NODES and words <= _CELL_WORDS


def markdown_rows(table: Table, text_of: Callable[[Any], str]) -> list[list[str]]:
    """Return the texts of a table's rows, of which the first is the header.

    A merged cell stands in each row and column that it covers; one that covers a whole row stands there once. Rows of
    the header are joined into one.
    """
    rows = table.rows
    placed = _placed(rows, table.ends())
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
    head = _header_rows(table)
    header = [" ".join(dict.fromkeys(filter(None, texts))) for texts in zip(*grid[:head], strict=True)]
    return [header, *[row for row in grid[head:] if any(row)]]


def _placed(rows: list[list[Any]], ends: list[int]) -> list[_Cell]:
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
            height = _span(element, "rowspan", ends[number] - number) or ends[number] - number
            placed.append(_Cell(element, number, column, height, columns or 1))
            if height > 1:
                reaching.update(dict.fromkeys(range(column, column + (columns or 1)), number + height))
            column += columns or 1
    return placed


def _span(element: Any, name: str, at_most: int) -> int:
    value = (element.get(name) or "1").strip()
    return min(int(value), at_most) if value.isascii() and value.isdigit() and len(value) < 8 else 1


def _header_rows(table: Table) -> int:
    """Return the number of rows that make the header: all that consist of header cells only, at least one."""
    rows, count = table.rows, 0
    while count < len(rows) - 1 and rows[count] and all(cell.tag == "th" for cell in rows[count]):
        count += 1
    return max(1, count, table.head_rows if table.head_rows < len(rows) else 1)
