"""The wish for a person in phrases: of an operator, and those that come with the bot beside English and German.

A sentence that is a phrase is a wish, and one that begins with a phrase that ends in an ellipsis, or goes on with one
behind a comma or an "and". So a phrase needs no grammar, and a question that has it somewhere else stays a question.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Self

from chat.handover.wish_languages import BUILT_IN, JOINS, NEEDS
from chat.phrases.known import Phrases
from common.phrases import begins_with, words_of

ELLIPSIS = ("…", "...")
_MOST_PARTS = 10


@dataclass(frozen=True, kw_only=True)
class _Wishes:
    """The phrases of some languages, as they are compared with the words of a sentence."""

    whole: frozenset[str]
    beginnings: tuple[str, ...]
    around: tuple[str, ...]
    """Greetings and words that say nothing, the longest first."""

    @classmethod
    def of(cls, phrases: Iterable[Phrases]) -> Self:
        phrases = list(phrases)
        wishes = [(wish.rstrip().endswith(ELLIPSIS), words_of(wish)) for listed in phrases for wish in listed.wishes]
        around = {words_of(word) for listed in phrases for word in (*listed.fillers, *listed.greetings, *listed.thanks)}
        return cls(
            whole=frozenset(words for _, words in wishes if words),
            beginnings=tuple({words for is_beginning, words in wishes if is_beginning and words}),
            around=tuple(sorted(around - {""}, key=len, reverse=True)),
        )

    def has(self, sentence: str) -> bool:
        words = self._inner(words_of(sentence))
        parts = islice(_parts_of(sentence), _MOST_PARTS)
        return words in self.whole or self._begins(words) or any(map(self._begins, parts))

    def _begins(self, words: str) -> bool:
        # At once for all of them, since few sentences begin like any.
        return words.startswith(self.beginnings) and any(begins_with(words, beginning) for beginning in self.beginnings)

    def _inner(self, words: str) -> str:
        """Return the words without what stands around a wish."""
        padded, before = f" {words} ", ""
        while padded != before:
            before = padded
            for phrase in self.around:
                padded = padded[len(phrase) + 1 :] if padded.startswith(f" {phrase} ") else padded
                padded = padded[: -len(phrase) - 1] if padded.endswith(f" {phrase} ") else padded
        return padded.strip()


_PART = re.compile(r"[,;:–—，、]")


def _parts_of(sentence: str) -> Iterator[str]:
    """Yield the words of a sentence from each position on at which it goes on with another one."""
    for number, part in enumerate(_PART.split(sentence)):
        words = words_of(part).split()
        if number:
            yield " ".join(words)
        yield from (" ".join(words[start:]) for start in range(1, len(words)) if words[start - 1] in _joins)


def asks_for_person(sentence: str, added: tuple[Phrases, ...] = ()) -> bool:
    """Return whether a sentence is a wish by the phrases that come with the bot, or those that an operator added.

    Greetings and words that say nothing may stand around it.
    """
    if not words_of(sentence):
        return False
    is_question = "?" in sentence
    return _built_in.has(sentence) or (not is_question and _needs.has(sentence)) or _compared(added).has(sentence)


_joins = {words_of(join) for join in JOINS}
_built_in = _Wishes.of(BUILT_IN)
_needs = _Wishes.of([*NEEDS, *(replace(listed, wishes=()) for listed in BUILT_IN)])


@lru_cache(maxsize=4)
def _compared(added: tuple[Phrases, ...]) -> _Wishes:
    return _Wishes.of(added)
