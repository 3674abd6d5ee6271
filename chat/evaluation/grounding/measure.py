"""Count what the check finds of corrupted sentences, and what it wrongly finds in true ones."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from random import Random

from chat.citations import Citation
from chat.evaluation.grounding.corruptions import CORRUPTIONS, Truth
from chat.evaluation.grounding.truths import TrueSentence
from chat.grounding.check import ground
from chat.grounding.languages import ENGLISH, language_of
from chat.grounding.result import Grounding, Verdict
from chat.grounding.sources import read_source

UNCHANGED = "unchanged"
_AS_ASKED = {"number changed": "number, as asked", "name changed": "name, as asked"}
"""Corruptions that are counted once more where the user's question has the wrong fact too."""
OTHER_CITED = "other passage cited"
OTHER_CONTEXT = "only other passages"


@dataclass(kw_only=True)
class Counts:
    total: int = 0
    found: int = 0
    """Judged `not`; of a wrong citation: dropped."""
    partly: int = 0
    examples: list[str] = field(default_factory=list)
    """Where the check was wrong."""

    @property
    def share(self) -> float:
        return self.found / self.total if self.total else 0.0


def measure(truths: Iterable[TrueSentence], *, seed: int = 1, uses_meaning: bool = True) -> dict[str, Counts]:
    """Return the counts by kind of corruption; `unchanged` counts the false alarms.

    A corruption of a sentence that is not supported unchanged is not counted: it would be found for the wrong reason.
    """
    random = Random(seed)  # noqa: S311 - a sample, no secret
    counts: dict[str, Counts] = defaultdict(Counts)
    for truth in truths:
        own, others = _numbered(truth.passages, 1), _numbered(truth.others, 1 + len(truth.passages))

        def judge(text: str, passages: list[Citation], question: str = truth.question) -> Grounding:
            return ground(text, passages, given=[question] if question else [], uses_meaning=uses_meaning)

        grounding = judge(truth.text, own)
        if not grounding.sentences:
            continue
        if _count(counts[UNCHANGED], grounding, truth.text, is_corrupted=False):
            continue
        for kind, corrupt in CORRUPTIONS.items():
            changed = corrupt(_truth_of(truth), random)
            if changed and changed != truth.text:
                _count(counts[kind], judge(changed, own), changed, is_corrupted=True)
                if as_asked := _AS_ASKED.get(kind):
                    _count(counts[as_asked], judge(changed, own, changed), changed, is_corrupted=True)
        _count(counts[OTHER_CONTEXT], judge(truth.text, others), truth.text, is_corrupted=True)
        wrong = f"{truth.text} [{others[0].number}]"
        is_dropped = others[0].number in judge(wrong, own + others).dropped
        _add(counts[OTHER_CITED], is_dropped, False, wrong, is_wrong=not is_dropped)
    return dict(counts)


def _count(counts: Counts, grounding: Grounding, text: str, *, is_corrupted: bool) -> bool:
    """Count a judged sentence; return whether it is judged `not`."""
    verdicts = {sentence.verdict for sentence in grounding.sentences}
    is_found = Verdict.NOT in verdicts
    reasons = "; ".join(reason for sentence in grounding.sentences for reason in sentence.reasons)
    _add(
        counts, is_found, not is_found and Verdict.PARTLY in verdicts, f"{text}  ({reasons})" if reasons else text,
        is_wrong=is_found != is_corrupted,
    )  # fmt: skip
    return is_found


def _add(counts: Counts, is_found: bool, is_partly: bool, text: str, *, is_wrong: bool) -> None:
    counts.total += 1
    counts.found += is_found
    counts.partly += is_partly
    if is_wrong:
        counts.examples.append(text)


def _numbered(passages: Iterable[Citation], first: int) -> list[Citation]:
    return [replace(passage, number=number) for number, passage in enumerate(passages, first)]


def _truth_of(truth: TrueSentence) -> Truth:
    language = language_of(truth.passages[0].content.casefold().split()) or ENGLISH
    return Truth(
        text=truth.text,
        language=language,
        passage=read_source(0, truth.passages[0].content, truth.passages[0].title, language),
        others=[read_source(0, other.content, "", language) for other in truth.others],
    )
