"""Whether a sentence says the opposite of the passage: what the one negates, the other does not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chat.grounding.sources import Sentence
from chat.grounding.words import Word

_SCOPE = 3
_REACH = 7
_NO_NEGATION_BEFORE = frozenset({"only", "nur", "later", "more", "less", "least", "mention", "other"})
"""After "not" or "no": "not only", "no later than" negate nothing."""
_OPPOSITES = ("un", "in", "im", "non", "dis", "ir", "il")
_WORDS_LIKE_NEGATIONS = """
    only unless except lack lacks fail fails failed instead unable impossible avoid avoids prevent prevents prevented
    prohibit prohibits prohibited forbid forbids forbidden refuse refuses refused decline declines deny denies denied
    limit limits limited restrict restricts restricted exclude excludes excluded rather stop stops few little hardly
    rarely before until too hard difficult less otherwise limitation limitations
    nur außer ausser statt kaum selten verhindert verbietet verboten
"""
_LIKE_NEGATIONS = frozenset(_WORDS_LIKE_NEGATIONS.split())
"""Words by which people say without a negation what others say with one."""


@dataclass(frozen=True, slots=True)
class Negation:
    position: int
    scope: tuple[int, ...]
    """The positions of the words that it negates, the nearest first."""


def negations(sentence: Sentence) -> tuple[Negation, ...]:
    kept = sentence.__dict__.get("_negations")
    if kept is None:
        kept = sentence.__dict__["_negations"] = tuple(_find(sentence.words))
    return kept


def _find(words: Sequence[Word]) -> Iterator[Negation]:
    for position, word in enumerate(words):
        if not word.is_negation:
            continue
        after = words[position + 1 : position + 1 + _REACH]
        if after and after[0].text.casefold() in _NO_NEGATION_BEFORE:
            continue
        scope = [position + 1 + n for n, w in enumerate(after) if not w.is_function and w.clause == word.clause][
            :_SCOPE
        ]
        if not scope:
            before = range(position - 1, max(-1, position - _REACH), -1)
            scope = [n for n in before if not words[n].is_function and words[n].clause == word.clause][:2]
        yield Negation(position, tuple(scope))


def wrong_negations(sentence: Sentence, nearest: Sequence[Sentence]) -> Iterator[str]:
    """Yield a reason such as "negation not" for each negation that only one side has."""
    own = negations(sentence)
    for negation in own:
        if not _is_said(sentence, negation, nearest):
            yield f"negation {sentence.words[negation.position].text}"
    if not own and nearest:
        best = nearest[0]
        for negation in negations(best):
            if _is_left_out(sentence, best, negation):
                yield f"negation {best.words[negation.position].text}"
                return


def _is_said(sentence: Sentence, negation: Negation, nearest: Sequence[Sentence]) -> bool:
    is_matched = False
    for other in nearest:
        for position in negation.scope[:2]:
            for at, word in enumerate(other.words):
                if word.key == sentence.words[position].key and not word.is_function:
                    is_matched = True
                    if _is_negated(other, at):
                        return True
            if _has_opposite(other, sentence.words[position]):
                return True
    if any(_like_negations(other) - _like_negations(sentence) for other in nearest):
        return True
    return not is_matched and any(negations(other) for other in nearest)


def _is_negated(sentence: Sentence, position: int) -> bool:
    clause = sentence.words[position].clause
    return any(
        position in negation.scope
        or (abs(position - negation.position) <= _REACH and sentence.words[negation.position].clause == clause)
        for negation in negations(sentence)
    )


def _is_left_out(sentence: Sentence, other: Sentence, negation: Negation) -> bool:
    if not negation.scope or _like_negations(sentence) - _like_negations(other):
        return False
    negated = [other.words[position] for position in negation.scope[:2]]
    return all(word.key in sentence.keys for word in negated) and not any(_has_opposite(sentence, w) for w in negated)


def _has_opposite(sentence: Sentence, word: Word) -> bool:
    """Return whether the sentence has the word with a prefix that negates, as "unavailable" for "available"."""
    text = word.text.casefold()
    return any(
        (w := other.text.casefold()) != text and w.endswith(text) and w.removesuffix(text) in _OPPOSITES
        for other in sentence.words
    )


def _like_negations(sentence: Sentence) -> set[str]:
    return {text for word in sentence.words if (text := word.text.casefold()) in _LIKE_NEGATIONS}
