"""Which sentences of the passages say what a sentence of an answer says, by the words that carry it."""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Self

from chat.grounding.sources import BEGINNING, GroundingSource, Sentence
from chat.grounding.words import Word, WordKind

_MOST_SENTENCES = 3
_MOST_CANDIDATES = 12
_LEAST_GAIN = 0.1
"""The share of the words that a further sentence must add."""
_FORM = 0.8
"""What another form of a word counts."""
_FACT_WEIGHT = 1.5
"""What a number, a name or a code counts, where a word counts 1."""


@dataclass(frozen=True, kw_only=True)
class SourceSentence:
    source: GroundingSource
    sentence: Sentence


@dataclass(frozen=True, kw_only=True)
class Support:
    share: float
    """How much of what carries the sentence the positions say, 0 to 1."""
    positions: tuple[SourceSentence, ...]
    """The best sentence first; empty if none has a word of it."""


def find_support(sentence: Sentence, sources: Sequence[GroundingSource]) -> Support:
    """Choose the sentence with the largest share of the words, then at most two that add most to it."""
    words = [word for word in sentence.words if not word.is_function]
    wanted = [_Wanted.of(word, 1.0) for word in words]
    rows = [(candidate, _said(candidate.sentence, wanted)) for candidate in _candidates(sentence, sources)]
    total, have = sum(word.weight for word in wanted), [0.0] * len(words)
    chosen: list[SourceSentence] = []
    while rows and len(chosen) < _MOST_SENTENCES:
        sums = [sum(map(max, have, said)) for _, said in rows]
        best = max(range(len(rows)), key=sums.__getitem__)
        if sums[best] - sum(have) <= (total * _LEAST_GAIN if chosen else 0):
            break
        chosen.append(rows[best][0])
        have = list(map(max, have, rows[best][1]))
    for position in chosen:  # what the heading of a passage says, its sentences need not repeat
        in_heading = _said(position.source.heading, [_Wanted.of(word, _FORM) for word in words])
        have = list(map(max, have, in_heading))
    return Support(share=sum(have) / total if total else 0.0, positions=tuple(chosen))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a word of the answer is looked for by; an answer has a thousand pairs of a word and a sentence."""

    key: str
    values: frozenset[str]
    beginning: str
    weight: float

    @classmethod
    def of(cls, word: Word, factor: float) -> Self:
        weight = factor if word.kind is WordKind.WORD else factor * _FACT_WEIGHT
        return cls(word.key, word.values, _beginning(word), weight)


def _said(text: Sentence, wanted: Sequence[_Wanted]) -> list[float]:
    """Return what a sentence says of each word, as `says` does, times its weight."""
    keys, values, beginnings = text.keys, text.values, text.beginnings
    return [
        word.weight
        if word.key in keys or (word.values and not word.values.isdisjoint(values))
        else word.weight * _FORM
        if word.beginning in beginnings
        else 0.0
        for word in wanted
    ]


def _candidates(sentence: Sentence, sources: Sequence[GroundingSource]) -> list[SourceSentence]:
    """Return the sentences with the most words of it."""
    rows = [
        (shared, source, said)
        for source in sources
        for said in source.sentences
        if (shared := len(sentence.keys & said.keys))
    ]
    return [
        SourceSentence(source=source, sentence=said)
        for _, source, said in nlargest(_MOST_CANDIDATES, rows, key=lambda r: r[0])
    ]


def says(text: Sentence | GroundingSource, word: Word) -> float:
    """Return 1 if the text has the word or its number, less if it has another form of it, else 0."""
    if word.key in text.keys or (word.values and not word.values.isdisjoint(text.values)):
        return 1.0
    return _FORM if _beginning(word) in text.beginnings else 0.0


def _beginning(word: Word) -> str:
    """Return what another form of the word begins with; "", which no word does, if it may have none."""
    has_forms = word.kind in (WordKind.WORD, WordKind.NAME) and len(word.key) > BEGINNING
    return word.key[:BEGINNING] if has_forms else ""
