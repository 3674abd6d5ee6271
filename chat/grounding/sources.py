"""What an answer may rest on, read as sentences of words."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from chat.grounding.languages import Language
from chat.grounding.words import Word, WordKind, read_words
from common.markdown_units import UnitKind, units

BEGINNING = 5
"""Longer words are taken for forms of one word if they begin with the same so many letters."""


@dataclass(frozen=True, eq=False)
class Sentence:
    """A sentence of an answer or of a passage, and where it stands in its text."""

    start: int
    end: int
    words: tuple[Word, ...]

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys of the words that carry it: all but those of the grammar."""
        return frozenset(word.key for word in self.words if not word.is_function)

    @cached_property
    def beginnings(self) -> frozenset[str]:
        return beginnings_of(self.keys)

    @cached_property
    def values(self) -> frozenset[str]:
        return frozenset(value for word in self.words for value in word.values)

    @cached_property
    def initials(self) -> str:
        """The first letters of the words with a capital."""
        return "".join(word.text[0] for word in self.words if word.text[0].isupper())

    @cached_property
    def names(self) -> tuple[range, ...]:
        """The positions of the words of each name; words of one name follow each other."""
        found: list[range] = []
        for position, word in enumerate(self.words):
            if word.kind is not WordKind.NAME:
                continue
            if found and found[-1].stop == position and self._is_one_name(position):
                found[-1] = range(found[-1].start, position + 1)
            else:
                # "Anna Berg" at the beginning of a sentence is one name, though the first capital may mean nothing.
                has_first = position > 0 and self.words[position - 1].may_be_name and self._is_one_name(position)
                found.append(range(position - has_first, position + 1))
        return tuple(found)

    def name_keys(self, name: range) -> frozenset[str]:
        return frozenset(self.words[position].key for position in name if self.words[position].kind is WordKind.NAME)

    def _is_one_name(self, position: int) -> bool:
        word, before = self.words[position], self.words[position - 1]
        return word.start - before.end <= 2 and word.clause == before.clause

    def with_names(self, known: Collection[str]) -> "Sentence":
        """Return it with a word that begins it as a name, if other positions tell that it is a name's."""
        words = tuple(
            replace(word, kind=WordKind.NAME) if word.may_be_name and word.key in known else word for word in self.words
        )
        return self if words == self.words else Sentence(self.start, self.end, words)


@dataclass(frozen=True, slots=True, eq=False)
class Mention:
    """A number, a name or a code in a sentence."""

    sentence: Sentence
    span: range
    keys: frozenset[str]
    """The words of a name; the values of a number; a code."""


@dataclass(frozen=True, eq=False)
class GroundingSource:
    """A passage, or another text of the context."""

    number: int | None
    """The passage's number; None for what is no passage, such as a feature of the user."""
    sentences: tuple[Sentence, ...]
    heading: Sentence

    @cached_property
    def all_sentences(self) -> tuple[Sentence, ...]:
        return (*self.sentences, self.heading)

    @cached_property
    def keys(self) -> frozenset[str]:
        return frozenset[str]().union(*(sentence.keys for sentence in self.all_sentences))

    @cached_property
    def beginnings(self) -> frozenset[str]:
        return beginnings_of(self.keys)

    @cached_property
    def values(self) -> frozenset[str]:
        return frozenset[str]().union(*(sentence.values for sentence in self.all_sentences))

    @cached_property
    def keys_with_digits(self) -> tuple[str, ...]:
        return tuple(key for key in self.keys if any(character.isdigit() for character in key))

    @cached_property
    def numbers(self) -> tuple[Mention, ...]:
        return self._mentions(WordKind.NUMBER)

    @cached_property
    def codes(self) -> tuple[Mention, ...]:
        return self._mentions(WordKind.CODE)

    def _mentions(self, kind: WordKind) -> tuple[Mention, ...]:
        return tuple(
            Mention(sentence, range(position, position + 1), word.values or frozenset({word.key}))
            for sentence in self.all_sentences
            for position, word in enumerate(sentence.words)
            if word.kind is kind
        )

    @cached_property
    def names(self) -> tuple[Mention, ...]:
        return tuple(
            Mention(sentence, name, sentence.name_keys(name))
            for sentence in self.all_sentences
            for name in sentence.names
        )

    @cached_property
    def name_keys(self) -> frozenset[str]:
        return frozenset[str]().union(*(name.keys for name in self.names))

    @cached_property
    def ordinary(self) -> dict[str, list[Mention]]:
        """Words that are neither number nor name, by their key, and by the number that they may stand for."""
        found: dict[str, list[Mention]] = defaultdict(list)
        for sentence in self.all_sentences:
            for position, word in enumerate(sentence.words):
                if word.kind is WordKind.WORD:
                    mention = Mention(sentence, range(position, position + 1), word.values)
                    for key in {word.key, *word.values}:
                        found[key].append(mention)
        return dict(found)


def beginnings_of(keys: Iterable[str]) -> frozenset[str]:
    return frozenset(key[:BEGINNING] for key in keys if len(key) > BEGINNING)


def read_source(number: int | None, content: str, heading: str, language: Language) -> GroundingSource:
    """Return a text of the context read: a passage, or one without a number."""
    sentences = []
    for unit in units(content, language.code):
        text = unit.alone if unit.kind is UnitKind.ROW else unit.text  # a cell means little without its header
        sentences.append(Sentence(unit.start, unit.end, tuple(read_words(text, language))))
    sentences.append(Sentence(0, 0, tuple(read_words(heading, language))))
    names = {word.key for sentence in sentences for word in sentence.words if word.kind is WordKind.NAME}
    *own, last = (sentence.with_names(names) for sentence in sentences)
    return GroundingSource(number, tuple(own), last)


@lru_cache(maxsize=512)
def read_passage(number: int, content: str, heading: str, language: Language) -> GroundingSource:
    """Return the passage read; the last ones are kept, since the same passages are cited again and again."""
    return read_source(number, content, heading, language)
