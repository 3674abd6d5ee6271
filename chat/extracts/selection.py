"""Choose the units that answer: the best ones, with what they need to be understood, within a budget of words."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from chat.extracts.passages import ScoredPassage
from common.markdown_units import Unit, UnitKind

MAX_WORDS = 80
_MOST_CHOSEN = 4
_SHARE_OF_BEST = 0.7
_LEAST_OF_RELEVANCE = 0.5
"""What is added to the best part needs this share of its relevance, so that a code brings its row, not the table."""
_LEAST_RELEVANCE = 0.35
"""A best part below it has nothing to do with the question."""
_LONG_UNIT_WORDS = 2 * MAX_WORDS
_NO_SPACES = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
# How an English or German sentence begins that cannot be understood without the one before it.
_REFERS_BACK = re.compile(
    r"(?:It|Its|This|That|These|Those|They|Their|He|She|His|Her|Both|Otherwise|However|Then|Es|Er|Dies\w{0,2}|Diese\w?"
    r"|Dabei|Danach|Dann|Dadurch|Dafür|Damit|Sonst|Jedoch|Außerdem)\b"
)


@dataclass
class Chosen:
    """The units chosen of one passage, by their positions."""

    passage: ScoredPassage
    positions: set[int] = field(default_factory=set)


def choose(passages: Sequence[ScoredPassage]) -> list[Chosen]:
    """Return what is chosen of each passage, the passage with the best unit first; [] if nothing fits the question."""
    ranked = sorted(
        (
            (score, number, position)
            for number, passage in enumerate(passages)
            for position, score in passage.scores.items()
        ),
        key=lambda found: (-found[0].score, found[1], found[2]),
    )
    if not ranked or max(score.relevance for score, _, _ in ranked) < _LEAST_RELEVANCE:
        return []
    least = _SHARE_OF_BEST * ranked[0][0].score
    least_relevance = _LEAST_OF_RELEVANCE * ranked[0][0].relevance
    chosen: dict[int, Chosen] = {}
    picked: list[tuple[int, int]] = []
    words = MAX_WORDS
    for score, number, position in ranked:
        if len(picked) == _MOST_CHOSEN or score.score < least:
            break
        if score.relevance < least_relevance:
            continue
        units = passages[number].units
        own = chosen.get(number) or Chosen(passages[number])
        added = _whole(units, position, words, is_first=not chosen) - own.positions
        if added and (not chosen or _words(units, added) <= words):
            own.positions |= added
            chosen[number] = own
            picked.append((number, position))
            words -= _words(units, added)
    # What else the chosen ones need takes only the words that are left, so that no other answer is lost by it.
    for number, position in picked:
        own = chosen[number]
        for more in _companions(own.passage.units, position):
            added = set(more) - own.positions
            if _words(own.passage.units, added) <= words:
                own.positions |= added
                words -= _words(own.passage.units, added)
    return list(chosen.values())


def count_words(text: str) -> int:
    """Count the words; of a script without spaces two characters are one."""
    return len(_NO_SPACES.sub(" ", text).split()) + (len(_NO_SPACES.findall(text)) + 1) // 2


def _whole(units: Sequence[Unit], position: int, words: int, *, is_first: bool) -> set[int]:
    """Return the positions of the unit's item or row; of one that is too long, of the unit alone."""
    whole = {number for number, other in enumerate(units) if other.block == units[position].block}
    if units[position].kind is UnitKind.SENTENCE:
        return {position}
    return whole if _words(units, whole) <= (_LONG_UNIT_WORDS if is_first else words) else {position}


def _companions(units: Sequence[Unit], position: int) -> Iterator[list[int]]:
    """Yield what else is wanted beside a unit, the most important first."""
    unit = units[position]
    if unit.kind is UnitKind.SENTENCE and unit.text.endswith((":", "\uff1a")):
        yield from _beginnings(_blocks_of_group(units, position + 1))
    elif unit.kind is UnitKind.SENTENCE:
        before = units[position - 1] if position else None
        if before is not None and before.block == unit.block and _REFERS_BACK.match(unit.text):
            yield [position - 1]
    elif unit.kind is UnitKind.ITEM:
        yield from ([parent] for parent in _parents(units, position))
        blocks = _blocks_of_group(units, position)
        lead = blocks[0][0] - 1
        if unit.lead and lead >= 0 and units[lead].text == unit.lead:
            yield [lead]
        if _is_ordered(units, blocks):
            own = next(number for number, block in enumerate(blocks) if position in block)
            # The steps from the first on, if this one is still reached; else those that follow it.
            yield [position for block in blocks for position in block]
            yield [position for block in blocks[:own] for position in block]
            yield from _beginnings(blocks[own + 1 :])


def _beginnings(blocks: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the positions of all blocks, then of all but the last, and so on."""
    for stop in range(len(blocks), 0, -1):
        yield [position for block in blocks[:stop] for position in block]


def _blocks_of_group(units: Sequence[Unit], position: int) -> list[list[int]]:
    """Return the items, rows or code of the group at a position, each as the positions of its units."""
    if position >= len(units) or units[position].kind in (UnitKind.SENTENCE, UnitKind.HEADING):
        return []
    blocks: dict[tuple[int, int], list[int]] = {}
    for number, unit in enumerate(units):
        if unit.group == units[position].group:
            blocks.setdefault(unit.block, []).append(number)
    return list(blocks.values())


def _parents(units: Sequence[Unit], position: int) -> Iterator[int]:
    depth = len(units[position].parents)
    for number in range(position - 1, -1, -1):
        unit = units[number]
        if depth and unit.group == units[position].group and unit.marker and len(unit.parents) < depth:
            depth = len(unit.parents)
            yield number


def _is_ordered(units: Sequence[Unit], blocks: Sequence[Sequence[int]]) -> bool:
    return bool(blocks) and units[blocks[0][0]].marker[:1].isdigit()


def _words(units: Sequence[Unit], positions: set[int]) -> int:
    return sum(count_words(units[position].text) for position in positions)
