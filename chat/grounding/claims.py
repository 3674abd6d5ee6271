"""The sentences of an answer that claim something, and the passages that they cite."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from common.markdown_units import Kind, Unit

_MARK = re.compile(r"\[(\d{1,3})\]")
_LEAST_CHARS = 5
_MOST_READ = 300
# Of what cannot be known from a passage: that nothing is known, thanks, greetings, and offers to help.
_NO_CLAIM = re.compile(
    r"""^\W*(?:
    (?:(?:but|so|however|unfortunately|sorry|i[ ]am[ ]sorry|i'm[ ]sorry|i[ ]apologi[sz]e)\b[\W]*(?:but\b\W*)?)*
    (?:
      i[ ](?:do[ ]not|don't|can't|cannot|could[ ]not|couldn't|am[ ]not|was[ ]not|have[ ]no|did[ ]not|didn't)\b
        .*\b(?:know|information|find|found|sure|certain|able|details|answer|knowledge|understand|data|access|help)\b
      | (?:the|these|those|none[ ]of[ ]the|your)?\W*(?:provided\W+)?
        (?:passages?|documents?|context|sources?|articles?)\b
        .*\b(?:not|n't|no)\b.*\b(?:say|mention|contain|include|specify|cover|provide|state|describe|tell|information)
      | there[ ]is[ ]no[ ](?:information|mention|answer)\b
    )
    | (?:hi|hello|hey|thanks(?![ ]to\b)|thank[ ]you|you're[ ]welcome|goodbye|bye)\b[^.!?,]{0,30}[.!,]*$
    | i(?:'m|[ ]am)[ ](?:glad|happy|sorry|here)\b
    | (?:i[ ]hope[ ]th|let[ ]me[ ]know|feel[ ]free|please[ ]let|if[ ]you[ ](?:have|need)[ ]any[ ](?:more|other|further))
    | (?:leider|tut[ ]mir[ ]leid)?\W*(?:das[ ])?(?:weiß|weiss|finde|habe|kenne|kann)[ ]ich\b
        .*\b(?:nicht|nichts|keine\w*)\b
    | (?:leider\W+)?ich[ ](?:weiß|weiss|finde|habe|kenne|kann)\b.*\b(?:nicht|nichts|keine\w*)\b
    | (?:die|den|in[ ]den)[ ](?:dokumente\w*|quellen|passagen|artikel\w*)\b.*\b(?:nicht|nichts|keine\w*)\b
    | (?:hallo|guten[ ](?:tag|morgen|abend)|danke|vielen[ ]dank|gern[ ]geschehen|auf[ ]wiedersehen)\b
        [^.!?,]{0,30}[.!,]*$
    | (?:ich[ ]hoffe|melden?[ ](?:sie[ ]sich|dich))\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)


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
    if unit.kind in (Kind.HEADING, Kind.CODE):
        return False
    text = _MARK.sub("", unit.text).strip()
    return (
        len(text) >= _LEAST_CHARS
        and not text.endswith(("?", ":", "？", "："))
        and not _NO_CLAIM.match(text[:_MOST_READ])
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
