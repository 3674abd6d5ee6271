"""Find where a passage says the same about a number or a name, by the words around it."""

from dataclasses import dataclass

from chat.grounding.sources import Sentence
from chat.grounding.words import Word

_NEAR = 5
"""How many words on each side are compared."""
_GRAMMAR = 0.25
"""What a word of the grammar counts, where another counts 1."""

# Chosen on one half of the sentences that `evaluate_grounding` measures with.
_SURE, _MORE = 0.75, 0.25
"""A span that shares so much, and so much more than the other, is meant whatever stands next to it."""
_NEXT, _LEAST, _LITTLE = 0.5, 0.45, 0.05
"""What a span that has more of the words next to it must have, where it shares only a little more."""
_TRUSTED_NEXT, _TRUSTED_MORE = 1.0, 0.3
"""The same where the other span is trusted."""


@dataclass(frozen=True, slots=True)
class Likeness:
    shared: float = 0.0
    """The share of the surroundings that the other span has too."""
    next_to: float = 0.0
    """1 for the same word next to the span, on each side; less for a word of the grammar."""

    @property
    def total(self) -> float:
        return self.shared + self.next_to

    @property
    def is_sure(self) -> bool:
        """Return whether both spans have the same surroundings, and a word next to them."""
        return self.shared >= _SURE and self.next_to >= 1.0

    def is_better_than(self, other: "Likeness", *, is_trusted: bool = False) -> bool:
        """Return whether it is so much better that this span, and not the other, is meant."""
        if self.next_to < other.next_to:
            return False
        if self.shared >= _SURE and self.shared >= other.shared + _MORE:
            return True
        next_to, more = (_TRUSTED_NEXT, _TRUSTED_MORE) if is_trusted else (_NEXT, _LITTLE)
        return self.next_to >= other.next_to + next_to and self.shared >= max(_LEAST, other.shared + more)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The words around a span in a sentence, each with a weight that falls with its distance."""

    weights: dict[str, float]
    total: float
    carrying: frozenset[str]
    """Those that are not of the grammar."""
    before: Word | None
    after: Word | None

    @classmethod
    def of(cls, sentence: Sentence, span: range) -> "Surroundings":
        words = sentence.words
        weights: dict[str, float] = {}
        carrying = set()
        for other in range(max(0, span.start - _NEAR), min(len(words), span.stop + _NEAR)):
            if other in span:
                continue
            word, distance = (
                words[other],
                span.start - other if other < span.start else other - span.stop + 1,
            )
            weight = (_GRAMMAR if word.is_function else 1.0) * distance**-0.5
            weights[word.key] = max(weights.get(word.key, 0.0), weight)
            if not word.is_function:
                carrying.add(word.key)
        before = words[span.start - 1] if span.start else None
        after = words[span.stop] if span.stop < len(words) else None
        return cls(weights, sum(weights.values()) or 1.0, frozenset(carrying), before, after)

    def likeness(self, other: "Surroundings") -> Likeness:
        theirs = other.weights
        shared = sum([min(weight, theirs[key]) for key, weight in self.weights.items() if key in theirs])
        return Likeness(shared / self.total, _same(self.before, other.before) + _same(self.after, other.after))


def _same(word: Word | None, other: Word | None) -> float:
    if word is None or other is None:
        return 0.25 if word is other else 0.0
    if word.key != other.key:
        return 0.0
    return 0.5 if word.is_function else 1.0


def surroundings(sentence: Sentence, span: range) -> Surroundings:
    """Return the surroundings; they are kept with the sentence, which other answers are compared with too."""
    kept: dict[range, Surroundings] = sentence.__dict__.setdefault("_surroundings", {})
    if span not in kept:
        kept[span] = Surroundings.of(sentence, span)
    return kept[span]
