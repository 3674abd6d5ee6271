"""The sentences of an answer that claim something, and the passages that they cite."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from chat.grounding.not_known import claims_nothing
from chat.phrases.known import not_known_phrases
from common.markdown_units import Unit, UnitKind

_MARK = re.compile(r"\[(\d{1,3})\]")
_LEAST_CHARS = 5


@dataclass(frozen=True, kw_only=True)
class Claim:
    unit: Unit
    cited: frozenset[int]
    """The numbers of the passages that it cites itself."""
    covered: frozenset[int]
    """Those behind the next sentence of its paragraph that has marks: they may be meant for it too."""


def claims_in(units: Sequence[Unit]) -> list[Claim]:
    """Return the sentences that claim something; headings, code, questions, lead-ins and courtesies do not."""
    units = list(_whole(units))
    found = [
        Claim(unit=unit, cited=marks_in(unit.text), covered=_covering(units, position))
        for position, unit in enumerate(units)
    ]
    return [claim for claim in found if is_claim(claim.unit)]


def _whole(units: Iterable[Unit]) -> Iterator[Unit]:
    """Yield the units, with those joined that a label ended too early, as in "Click **Forgot password?** below"."""
    last: Unit | None = None
    for unit in units:
        if last and last.block == unit.block and last.text.endswith(("?", "!")) and unit.text[:1].islower():
            last = replace(last, end=unit.end, text=f"{last.text} {unit.text}")
            continue
        if last:
            yield last
        last = unit
    if last:
        yield last


def marks_in(text: str) -> frozenset[int]:
    return frozenset(int(number) for number in _MARK.findall(text))


def is_claim(unit: Unit) -> bool:
    if unit.kind in (UnitKind.HEADING, UnitKind.CODE):
        return False
    text = _MARK.sub("", unit.text).strip()
    return (
        len(text) >= _LEAST_CHARS
        and not text.endswith(("?", ":", "？", "："))
        and not claims_nothing(text, not_known_phrases())
    )


def _covering(units: Sequence[Unit], position: int) -> frozenset[int]:
    unit = units[position]
    if marks_in(unit.text):
        return frozenset()
    for later in units[position + 1 :]:
        if later.block != unit.block:
            break
        if marks := marks_in(later.text):
            return marks
    return frozenset()
