"""The parts of the passages that may answer: their units, scored by the question."""

from collections.abc import Sequence
from dataclasses import dataclass

from chat.citations import Citation
from chat.extracts.links import only_points
from common.markdown_units import Unit, UnitKind, units
from contexts.suspicion import suspicions_of
from retrieval.languages import language_code
from retrieval.models import Index
from retrieval.search.parts import Part, PartScore, score_parts
from retrieval.search.questions import EarlierQuestion

_MOST_PASSAGES = 5
_LEAST_SHARE = 0.5
"""A passage needs this share of the best one's score; a much weaker one would only distract."""
_MOST_CHARS = 20_000
_MOST_CODE_LINES = 12


@dataclass(frozen=True, kw_only=True)
class ScoredPassage:
    """A passage with its units, and the scores of those that may be chosen."""

    source: Citation
    units: list[Unit]
    scores: dict[int, PartScore]
    """By the unit's position in `units`."""


def read_passages(
    earlier: Sequence[EarlierQuestion], question: str, sources: Sequence[Citation]
) -> list[ScoredPassage]:
    """Return the passages with their scored units, the best passage first; `question` is the one to answer.

    What speaks to a language model, what only points to another page, and what an earlier passage says in the same
    words may not be chosen.
    """
    best = max((source.score for source in sources), default=0.0)
    shares = {source.number: source.score / best if best > 0 else 1.0 for source in sources}
    ranked = sorted(sources, key=lambda source: -source.score)[:_MOST_PASSAGES]
    found: dict[int, ScoredPassage] = {}
    seen: set[str] = set()
    for name in dict.fromkeys(source.index for source in ranked):
        index = Index.objects.named(name)
        if index is None:  # removed since the search
            continue
        language = language_code(index.language)
        positions: list[tuple[ScoredPassage, int]] = []
        for source in ranked:
            if source.index == name and shares[source.number] >= _LEAST_SHARE:
                own = units(source.content[:_MOST_CHARS], language)
                passage = found[source.number] = ScoredPassage(source=source, units=own, scores={})
                positions += [(passage, number) for number, unit in enumerate(own) if _may_answer(unit, source, seen)]
        parts = [_part(passage, position, shares[passage.source.number]) for passage, position in positions]
        for (passage, position), score in zip(positions, score_parts(index, earlier, question, parts), strict=True):
            passage.scores[position] = score
    return list(found.values())


def _may_answer(unit: Unit, source: Citation, seen: set[str]) -> bool:
    if unit.kind is UnitKind.HEADING or unit.text in seen or suspicions_of(unit.text):
        return False
    if unit.kind in (UnitKind.SENTENCE, UnitKind.ITEM) and only_points(source.content[unit.start : unit.end]):
        return False
    if unit.kind is UnitKind.CODE and unit.text.count("\n") >= _MOST_CODE_LINES:
        return False
    seen.add(unit.text)
    return any(char.isalnum() for char in unit.text)


def _part(passage: ScoredPassage, position: int, share: float) -> Part:
    unit, source = passage.units[position], passage.source
    path = [*source.heading_path.split(" > "), *unit.headings]
    above = " ".join(dict.fromkeys([source.title, *path]))
    return Part(text=unit.alone, above=above, heading=path[-1], share=share)
