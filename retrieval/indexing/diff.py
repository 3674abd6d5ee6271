"""Compare two texts line by line and word by word."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

_CONTEXT_LINES = 3
_MAX_LINES = 5_000
_MAX_WORDS = 2_000
"""Longer ranges that differ are not aligned: the time grows with the square of their length."""

_WORD = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True, kw_only=True)
class Side:
    """A line of one text, as parts (text, whether the other text lacks it)."""

    number: int
    parts: list[tuple[str, bool]]


@dataclass(frozen=True, kw_only=True)
class DiffRow:
    """A pair of corresponding lines; or, with `hidden`, the number of equal lines that this row replaces."""

    before: Side | None = None
    after: Side | None = None
    is_changed: bool = False
    hidden: int = 0


def diff_texts(before: str, after: str) -> list[DiffRow]:
    """Return the lines that differ, with those around them; equal texts give no row."""
    old, new = before.splitlines(), after.splitlines()
    rows: list[DiffRow] = []
    for kind, i1, i2, j1, j2 in _opcodes(old, new, _MAX_LINES):
        if kind == "equal":
            rows += [_row(i + 1, [(line, False)], j + 1, [(line, False)]) for i, j, line in _same(old, i1, i2, j1)]
            continue
        for i, j in zip_longest(range(i1, i2), range(j1, j2)):
            if i is not None and j is not None:
                left, right = _word_parts(old[i], new[j])
                rows.append(_row(i + 1, left, j + 1, right, is_changed=True))
            elif i is not None:
                rows.append(DiffRow(before=Side(number=i + 1, parts=[(old[i], True)]), is_changed=True))
            else:
                rows.append(DiffRow(after=Side(number=j + 1, parts=[(new[j], True)]), is_changed=True))
    return list(_fold(rows)) if any(row.is_changed for row in rows) else []


def diff_values(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return (name, before, after) of each key whose value differs; None where it is missing."""
    names = sorted(before.keys() | after.keys())
    return [
        (name, before.get(name), after.get(name))
        for name in names
        if (name in before, before.get(name)) != (name in after, after.get(name))
    ]


def _row(left: int, old: list[tuple[str, bool]], right: int, new: list[tuple[str, bool]], **more: Any) -> DiffRow:
    return DiffRow(before=Side(number=left, parts=old), after=Side(number=right, parts=new), **more)


def _same(lines: Sequence[str], i1: int, i2: int, j1: int) -> Iterator[tuple[int, int, str]]:
    return ((i, j1 + i - i1, lines[i]) for i in range(i1, i2))


def _word_parts(old: str, new: str) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    left, right = _WORD.findall(old), _WORD.findall(new)
    old_parts: list[tuple[str, bool]] = []
    new_parts: list[tuple[str, bool]] = []
    for kind, i1, i2, j1, j2 in _opcodes(left, right, _MAX_WORDS):
        old_parts.append(("".join(left[i1:i2]), kind != "equal"))
        new_parts.append(("".join(right[j1:j2]), kind != "equal"))
    return [part for part in old_parts if part[0]], [part for part in new_parts if part[0]]


def _opcodes(old: Sequence[str], new: Sequence[str], limit: int) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield difflib's opcodes; equal lines at both ends are cut off first, which is cheap."""
    shorter = min(len(old), len(new))
    start = next((n for n in range(shorter) if old[n] != new[n]), shorter)
    end = next((n for n in range(shorter - start) if old[-1 - n] != new[-1 - n]), shorter - start)
    old_end, new_end = len(old) - end, len(new) - end
    yield "equal", 0, start, 0, start
    if max(old_end, new_end) - start > limit:
        yield "replace", start, old_end, start, new_end
    else:
        for kind, i1, i2, j1, j2 in SequenceMatcher(None, old[start:old_end], new[start:new_end]).get_opcodes():
            yield kind, start + i1, start + i2, start + j1, start + j2
    yield "equal", old_end, len(old), new_end, len(new)


def _fold(rows: list[DiffRow]) -> Iterator[DiffRow]:
    """Yield the rows near a change, and one row for each range of rows that is not near any."""
    changed = [index for index, row in enumerate(rows) if row.is_changed]
    near = {n for index in changed for n in range(index - _CONTEXT_LINES, index + _CONTEXT_LINES + 1)}
    hidden = 0
    for index, row in enumerate(rows):
        if index in near:
            if hidden:
                yield DiffRow(hidden=hidden)
            hidden = 0
            yield row
        else:
            hidden += 1
    if hidden:
        yield DiffRow(hidden=hidden)
