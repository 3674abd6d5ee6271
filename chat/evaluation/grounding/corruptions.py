"""Ways to make a true sentence false; each returns the sentence, or None where it cannot be done."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from chat.grounding.languages import NUMBER_WORDS, Language
from chat.grounding.sources import GroundingSource, Sentence
from chat.grounding.words import Word, WordKind, read_words

_AUXILIARY = re.compile(
    r"\b(?:is|are|was|were|can|could|will|would|should|must|has|have|had|may|does|do|did)\b(?! not|n't)"
)
_NEGATIONS = (
    (r"\bcannot\b|\bcan't\b", "can"), (r" not\b(?! only)", ""), (r"(?<=[a-z])n't\b", ""), (r"\bnever\b", "always"),
    (r"\bwithout\b", "with"), (r"\bno longer\b", "still"), (r"\bno\b", "a"),
)  # fmt: skip
_UNITS = (
    ("seconds", "minutes", "hours", "days", "weeks", "months", "years", "decades"), ("KB", "MB", "GB", "TB"),
    ("miles", "kilometers", "meters", "feet"), ("million", "billion", "thousand"),
)  # fmt: skip
_COORDINATION = re.compile(r"(?:,|\s|and|or|&)*")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """A sentence that its passage supports."""

    text: str
    language: Language
    passage: GroundingSource
    others: Sequence[GroundingSource]
    """Passages about other things."""

    @property
    def sentence(self) -> Sentence:
        return Sentence(0, len(self.text), tuple(read_words(self.text, self.language)))


def change_number(truth: Truth, random: Random) -> str | None:
    """Replace a number by one that the passage does not have."""
    numbers = _numbers(truth.sentence)
    if not numbers:
        return None
    word = random.choice(numbers)
    if word.text.isdigit() and _is_year(word):
        choices = [str(int(word.text) + more) for more in (-11, -3, 1, 2, 7, 10)]
    elif word.text.isdigit():
        value = int(word.text)
        choices = [str(other) for other in (value * 2, value + 1, value + 5, value * 10, max(2, value // 2))]
    elif word.text.casefold() in NUMBER_WORDS:
        choices = [name for name in NUMBER_WORDS if name.isascii()][:15]
    else:
        choices = [re.sub(r"\d", lambda digit: str((int(digit[0]) + 3) % 10 or 7), word.text, count=1)]
    choices = [choice for choice in choices if read_words(choice, truth.language)[0].key not in truth.passage.values]
    return _put(truth.text, word.start, word.end, random.choice(choices)) if choices else None


def swap_number(truth: Truth, random: Random) -> str | None:
    """Replace a number by another of the passage with the same unit; both change positions if it is in the sentence."""
    sentence = truth.sentence
    numbers = _numbers(sentence)
    if not numbers:
        return None
    word = random.choice(numbers)
    choices = [
        other
        for said in truth.passage.sentences
        for other in _numbers(said)
        if not other.values & word.values and _is_year(other) == _is_year(word) and other.unit == word.unit
    ]
    if not choices:
        return None
    new = random.choice(choices)
    own = next((other for other in numbers if other.key == new.key), None)
    if own:
        return _exchange(truth.text, (word.start, word.end), (own.start, own.end))
    return _put(truth.text, word.start, word.end, new.text)


def change_unit(truth: Truth, random: Random) -> str | None:
    """Replace the unit behind a number."""
    for group in _UNITS:
        for unit in group:
            if found := re.search(rf"(?<=\d )\b{unit}\b|(?<=\d){unit}\b", truth.text):
                new = random.choice([other for other in group if other != unit])
                return _put(truth.text, *found.span(), new)
    return None


def change_name(truth: Truth, random: Random) -> str | None:
    """Replace a name by one that the passage does not have."""
    names = _names(truth.sentence)
    choices = [
        text
        for source in truth.others
        for said in source.sentences
        for text in _name_texts(said)
        if not any(word.key in truth.passage.keys for word in read_words(text, truth.language))
    ]
    if not names or not choices:
        return None
    start, end = random.choice(names)
    return _put(truth.text, start, end, random.choice(choices))


def swap_name(truth: Truth, random: Random) -> str | None:
    """Replace a name by another of the passage; both change positions if it is in the sentence."""
    names = _names(truth.sentence)
    if not names:
        return None
    start, end = random.choice(names)
    own = set(truth.text[start:end].split())
    choices = [text for said in truth.passage.sentences for text in _name_texts(said) if not own & set(text.split())]
    if not choices:
        return None
    new = random.choice(choices)
    at = truth.text.find(new)
    if at < 0:
        return _put(truth.text, start, end, new)
    if truth.text.count(new) > 1 or truth.text.count(truth.text[start:end]) > 1:
        return None
    first, second = sorted([(start, end), (at, at + len(new))])
    # "Greek and Indian" says the same as "Indian and Greek".
    if first[1] > second[0] or _COORDINATION.fullmatch(truth.text[first[1] : second[0]]):
        return None
    return _exchange(truth.text, first, second)


def add_negation(truth: Truth, random: Random) -> str | None:
    """Negate the first auxiliary of a sentence without a negation."""
    found = _AUXILIARY.search(truth.text)
    if not found or any(word.is_negation for word in truth.sentence.words):
        return None
    return _put(truth.text, found.end(), found.end(), "not" if found[0] == "can" else " not")


def remove_negation(truth: Truth, random: Random) -> str | None:
    for pattern, new in _NEGATIONS:
        if found := re.search(pattern, truth.text):
            return _put(truth.text, *found.span(), new)
    return None


CORRUPTIONS: dict[str, Callable[[Truth, Random], str | None]] = {
    "number changed": change_number,
    "numbers swapped": swap_number,
    "unit changed": change_unit,
    "name changed": change_name,
    "names swapped": swap_name,
    "negation added": add_negation,
    "negation removed": remove_negation,
}


def _numbers(sentence: Sentence) -> list[Word]:
    return [word for word in sentence.words if word.kind is WordKind.NUMBER]


def _is_year(word: Word) -> bool:
    return word.text.isdigit() and 1500 <= int(word.text) < 2100


def _names(sentence: Sentence) -> list[tuple[int, int]]:
    return [(sentence.words[name.start].start, sentence.words[name.stop - 1].end) for name in sentence.names]


def _name_texts(sentence: Sentence) -> list[str]:
    return [" ".join(word.text for word in sentence.words[name.start : name.stop]) for name in sentence.names]


def _put(text: str, start: int, end: int, new: str) -> str:
    return text[:start] + new + text[end:]


def _exchange(text: str, one: tuple[int, int], other: tuple[int, int]) -> str:
    (start, end), (second_start, second_end) = sorted([one, other])
    first, second = text[start:end], text[second_start:second_end]
    return text[:start] + second + text[end:second_start] + first + text[second_end:]
