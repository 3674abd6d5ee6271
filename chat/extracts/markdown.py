"""Write what was chosen as Markdown: sentences, items and rows in their own words, each with its citation."""

import itertools
import re
from collections.abc import Iterator, Sequence

from chat.extracts.links import LINK_OR_CODE, target_of
from chat.extracts.selection import MAX_WORDS, Chosen
from common.markdown_units import Unit, UnitKind, units

CUT = "…"
_LINE_BREAK = re.compile(r"[ \t]*(?:\r\n?|\n)[ \t>]*")
_CODE_OR_MARK = re.compile(r"(?P<code>(?P<ticks>`+)[\s\S]*?(?<!`)(?P=ticks)(?!`))|\[(?P<number>\d{1,3})\]")
"""What a passage has in brackets must not read as one of our sources; in code nothing reads as one."""
_MARKUP = re.compile(r"[\\`*_\[\]<>&#~|]|^(?=[-+=])|(?<=^\d)(?=[.)])|(?<=^\d\d)(?=[.)])")
_LONGEST_WORDS = 2 * MAX_WORDS


def write(chosen: Sequence[Chosen]) -> str:
    """Return the answer's Markdown: the passages in their order, and in each what was chosen in the passage's order."""
    return "\n\n".join(block for part in chosen for block in _blocks(part))


def _blocks(chosen: Chosen) -> Iterator[str]:
    passage, cite = chosen.passage, f"[{chosen.passage.source.number}]"
    text = passage.source.content
    positions = sorted(chosen.positions)
    for group, found in itertools.groupby(positions, key=lambda position: _group(passage.units[position])):
        own = list(found)
        first = passage.units[own[0]]
        if first.kind is UnitKind.ROW:
            yield _table(text, [passage.units[position] for position in own], cite)
        elif group[0] == "list":
            yield _list(text, passage.units, own, cite)
        elif first.kind is UnitKind.CODE:
            yield f"{_fence(first)}\n\n{cite}"
        else:
            yield from _paragraphs(text, passage.units, own, cite)


def _group(unit: Unit) -> tuple[str, tuple[int, int]]:
    is_in_list = unit.kind is UnitKind.ITEM or (unit.kind is UnitKind.CODE and unit.group != (unit.start, unit.end))
    return ("list" if is_in_list else unit.kind.value, unit.group)


def _paragraphs(text: str, all_units: Sequence[Unit], positions: list[int], cite: str) -> Iterator[str]:
    """Yield a paragraph for each run of sentences that follow one another."""
    runs: list[list[str]] = []
    for position in positions:
        if not runs or position - 1 not in positions:
            runs.append([])
        runs[-1].append(f"{_sentence(text, all_units[position])} {cite}")
    return (" ".join(run) for run in runs)


def _list(text: str, all_units: Sequence[Unit], positions: list[int], cite: str) -> str:
    """Return the items; a cut among steps, or of a list that was introduced, is said by an ellipsis."""
    lines: list[str] = []
    numbers = [position for position, unit in enumerate(all_units) if unit.group == all_units[positions[0]].group]
    is_ordered = all_units[numbers[0]].marker[:1].isdigit()
    last = numbers[0] - 1
    for block, found in itertools.groupby(positions, key=lambda position: all_units[position].block):
        own = list(found)
        if is_ordered and own[0] != last + 1:
            lines.append(CUT)
        lines.append(_item(text, [all_units[position] for position in own], block, cite))
        last = own[-1]
    if is_ordered and last != numbers[-1]:
        lines.append(CUT)
    # An ellipsis is a paragraph of its own; items stand one below the other.
    return re.sub(rf"\n*^{CUT}$\n*", f"\n\n{CUT}\n\n", "\n".join(lines), flags=re.MULTILINE).strip()


def _item(text: str, own: Sequence[Unit], block: tuple[int, int], cite: str) -> str:
    depth = len(own[0].parents)
    sentences = [unit for unit in own if unit.kind is UnitKind.ITEM]
    end = sentences[-1].end if sentences else block[1]
    column = block[0] - (text.rfind("\n", 0, block[0]) + 1)
    raw = _foreign(text[block[0] : end]) + f" {cite}" + _foreign(text[end : block[1]])
    raw = re.sub(rf"\n[ \t]{{0,{column}}}", "\n", raw)
    marker = own[0].marker or "-"
    if [unit.text for unit in units(raw)] != [*_with_cite(own, sentences, cite)]:
        raw = f"{marker} {' '.join(_plain(unit.text) for unit in own)} {cite}"
    return "\n".join(f"{'   ' * depth}{line}".rstrip() for line in raw.split("\n"))


def _with_cite(own: Sequence[Unit], sentences: Sequence[Unit], cite: str) -> Iterator[str]:
    for unit in own:
        yield f"{unit.text} {cite}" if sentences and unit is sentences[-1] else unit.text


def _table(text: str, rows: Sequence[Unit], cite: str) -> str:
    """Return a table of the rows alone, with its header."""
    head = [_line(line) for line in text[rows[0].group[0] : rows[0].start].splitlines()[:2]]
    lines = [*head, *(_cited_row(_line(text[row.start : row.end]), cite) for row in rows)]
    table = "\n".join(lines)
    if [unit.header for unit in units(table)] == [row.header for row in rows]:
        return table
    return "\n".join(f"- {_plain(row.alone)} {cite}" for row in rows)


def _line(line: str) -> str:
    return _foreign(re.sub(r"^[\s>]*", "", line).rstrip())


def _cited_row(row: str, cite: str) -> str:
    if row.endswith("|") and not row.endswith("\\|"):
        return f"{row[:-1].rstrip()} {cite} |"
    return f"{row} {cite}"


def _sentence(text: str, unit: Unit) -> str:
    """Return the sentence with its markup, or without it where the markup does not end with the sentence."""
    words = unit.text.split()
    if len(words) > _LONGEST_WORDS or len(unit.text) > 20 * MAX_WORDS:
        shortened = " ".join(words[:MAX_WORDS])[: 12 * MAX_WORDS]
        return f"{_plain(shortened)} {CUT}"
    raw = _foreign(_LINE_BREAK.sub(" ", text[unit.start : unit.end]))
    again = units(raw)
    is_same = len(again) == 1 and (again[0].kind, again[0].text) == (UnitKind.SENTENCE, unit.text)
    return raw if is_same else _plain(unit.text)


def _fence(unit: Unit) -> str:
    ticks = max((len(run) for run in re.findall("`+", unit.text)), default=0)
    fence = "`" * max(3, ticks + 1)
    return f"{fence}\n{unit.text}\n{fence}"


def _plain(text: str) -> str:
    """Return the text as Markdown that shows it as it is."""
    return _MARKUP.sub(lambda found: f"\\{found[0]}", text)


def _foreign(markdown: str) -> str:
    """Return a passage's Markdown as it may stand in an answer: its own `[1]` and its relative links as text."""
    markdown = LINK_OR_CODE.sub(lambda link: link[0] if link["code"] or target_of(link) else link["text"], markdown)
    return _CODE_OR_MARK.sub(lambda found: found[0] if found["code"] else f"\\[{found['number']}\\]", markdown)
