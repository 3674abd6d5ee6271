"""The words of a sentence as facts are compared by: stems, numbers with their unit, names, codes and negations."""

import re
import unicodedata
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

from py_rust_stemmers import SnowballStemmer

from chat.grounding.languages import LOOSE_NUMBER_WORDS, NUMBER_WORDS, SCALES, UNITS, Language

# In linear time: a run of words and joints, which `_parts_of` divides.
_RUN = re.compile(r"[^\W_][\w'’]*(?:[-._/:,@\u00a0\u202f][^\W_][\w'’]*)*|[%‰$€£¥]")
_NUMBER = re.compile(r"\d+(?::\d\d)+|\d+(?:[.,'’\u00a0\u202f]\d+)*")
_CODE = re.compile(
    r"[^\W\d_]+(?:[-_./][^\W\d_]+)*[-_./]?\d[\w\-./:]*|\d+(?:\.\d+){2,}\w*|\d+(?:[-_/][^\W\d_]*\d\w*){2,}"
)
_MOST_CODE_CHARS = 40
_PART = re.compile(rf"(?P<number>{_NUMBER.pattern})|(?P<word>[^\W\d_]+(?:['’][^\W\d_]+)*)")
# Scripts without spaces: a run of letters is read as overlapping pairs, as the lexical search does.
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_ASIDE = re.compile(r"\[\d{1,3}\]|https?://\S+|[®™©]")
_NEGATED = re.compile(r"(?:n't|nnot)$")
_BREAK = re.compile(r"[,;:()–—|]|\s-\s")
_OPENING = re.compile(r"[:\"“”„«»|•][\s\"'“„]*$|\s[-–—]\s+$")
_SEPARATORS = re.compile(r"[.,'’\u00a0\u202f]")


class WordKind(Enum):
    WORD = "word"
    NUMBER = "number"
    CODE = "code"
    NAME = "name"


@dataclass(frozen=True, slots=True, eq=False)
class Word:
    start: int
    end: int
    text: str
    key: str
    """What it is compared by: the stem of a word, the value of a number, the letters and digits of a code."""
    kind: WordKind = WordKind.WORD
    is_function: bool = False
    is_negation: bool = False
    is_opening: bool = False
    """Whether it begins its sentence, or what follows a colon or a quotation mark: its capital may mean nothing."""
    clause: int = 0
    values: frozenset[str] = frozenset()
    """The numbers that it may stand for: 5000000 for `5` in "5 million", 1 for "first"."""
    unit: str = ""
    """The unit that it is; of a number, the unit beside it."""

    @property
    def may_be_name(self) -> bool:
        """Whether it has a capital that may only be that of its sentence."""
        return self.is_opening and self.kind is WordKind.WORD and not self.is_function and self.text[0].isupper()


def read_words(text: str, language: Language) -> list[Word]:
    """Return the words of a sentence in their order; addresses and marks such as `[1]` are left out."""
    text = _ASIDE.sub(lambda found: " " * len(found[0]), text)
    words: list[Word] = []
    clause, before = 0, 0
    for run in _RUN.finditer(text):
        if text[before : run.start()] not in ("", " "):
            clause += bool(_BREAK.search(text, before, run.start()))
        before = run.end()
        for word in _words_of(run[0], language):
            is_opening = not words or (
                word.text[0].isupper() and bool(_OPENING.search(text[max(0, run.start() - 6) : run.start()]))
            )
            kind = word.kind
            if kind is WordKind.WORD and not is_opening and _is_name(word, language):
                kind = WordKind.NAME
            at = run.start()
            words.append(
                Word(
                    at + word.start, at + word.end, word.text, word.key, kind, word.is_function, word.is_negation,
                    is_opening, clause, word.values, word.unit,
                )
            )  # fmt: skip
    return _with_units(_with_double_names(words) if language.has_capital_nouns else words)


def _with_double_names(words: list[Word]) -> list[Word]:
    """Take two words with a capital in a row for a name, such as "Frau Schmidt", where every noun has a capital."""
    for position in range(1, len(words)):
        before, word = words[position - 1], words[position]
        is_pair = before.clause == word.clause and word.start - before.end == 1
        if is_pair and not word.is_opening and _has_capital(before) and _has_capital(word):
            words[position] = replace(word, kind=WordKind.NAME)
            if not before.is_opening:
                words[position - 1] = replace(before, kind=WordKind.NAME)
    return words


def _has_capital(word: Word) -> bool:
    is_word = word.kind in (WordKind.WORD, WordKind.NAME) and not word.is_function and not word.unit
    return is_word and word.text[0].isupper() and len(word.text) > 1


def _is_name(word: Word, language: Language) -> bool:
    return (
        word.text[0].isupper() and len(word.text) > 1 and not word.is_function and not word.unit
        and not language.has_capital_nouns
    )  # fmt: skip


def _words_of(run: str, language: Language) -> tuple[Word, ...]:
    # Words come again and again; there is no end of numbers and codes.
    return _kept_words_of(run, language) if run.isalpha() else _read_run(run, language)


@lru_cache(maxsize=20_000)
def _kept_words_of(run: str, language: Language) -> tuple[Word, ...]:
    return _read_run(run, language)


def _read_run(run: str, language: Language) -> tuple[Word, ...]:
    """Return the words of a run such as `E-4021`, `and/or` or `30GB`; their positions are those in the run."""
    is_unspaced = bool(_UNSPACED.search(run))
    has_digit = any(character.isdigit() for character in run)
    is_short = len(run) <= _MOST_CODE_CHARS
    if has_digit and is_short and not is_unspaced and not _NUMBER.fullmatch(run) and _CODE.fullmatch(run):
        return (Word(0, len(run), run, code_key(run), WordKind.CODE),)
    words: list[Word] = []
    for part in _PART.finditer(run):
        start, end, text = part.start(), part.end(), part[0]
        if part["number"]:
            value = _value(text)
            words.append(Word(start, end, text, value, WordKind.NUMBER, values=frozenset({value})))
        elif is_unspaced:
            pairs = range(start, max(start + 1, end - 1))
            words += [Word(at, min(at + 2, end), run[at : at + 2], run[at : at + 2]) for at in pairs]
        else:
            words.append(_word(start, end, text, language))
    if not words:  # a sign of a currency or of per cent
        unit = UNITS.get(run, run)
        words.append(Word(0, len(run), run, unit, is_function=True, unit=unit))
    return tuple(words)


def _word(start: int, end: int, text: str, language: Language) -> Word:
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    if folded in NUMBER_WORDS:
        value = str(NUMBER_WORDS[folded])
        return Word(start, end, text, value, WordKind.NUMBER, values=frozenset({value}))
    is_negation = folded in language.negations or bool(_NEGATED.search(folded))
    unit = UNITS.get(folded, "")
    is_function = is_negation or folded in language.function_words
    # Capitals inside a word name something in every language, but in a text of capitals only.
    is_name = any(letter.isupper() for letter in text[1:]) and not is_function and not unit
    loose = LOOSE_NUMBER_WORDS.get(folded)
    kind = WordKind.NAME if is_name else WordKind.WORD
    return Word(
        start, end, text, _stem(folded, language.name), kind, is_function=is_function, is_negation=is_negation,
        values=frozenset() if loose is None else frozenset({str(loose)}), unit=unit,
    )  # fmt: skip


def code_key(text: str) -> str:
    return re.sub(r"[\W_]", "", text.casefold())


@lru_cache
def _stemmer(language: str) -> SnowballStemmer:
    return SnowballStemmer(language)


def _stem(folded: str, language: str) -> str:
    word = folded.removesuffix("'s").removesuffix("'")
    return _stemmer(language).stem_word(word)


def _value(text: str) -> str:
    """Return a number's value as text: separators of thousands are left out, and a decimal comma is a point."""
    if ":" in text:  # 9:00 is 9, as in "9 am"
        return re.sub(r"(?::00)+$", "", text).lstrip("0") or "0"
    whole, *groups = _SEPARATORS.split(text)
    decimals = groups.pop() if groups and len(groups[-1]) != 3 else ""
    if any(len(group) != 3 for group in groups):  # a list or a date, not one number
        return text
    digits = "".join([whole, *groups]).lstrip("0") or "0"
    decimals = decimals.rstrip("0")
    return f"{digits}.{decimals}" if decimals else digits


def _with_units(words: list[Word]) -> list[Word]:
    """Give each number the unit beside it; "5 million" is the number 5000000."""
    for position, word in enumerate(words):
        if word.kind is not WordKind.NUMBER:
            continue
        values, unit = word.values, ""
        for neighbour in words[position + 1 : position + 3]:
            if neighbour.clause != word.clause:
                break
            scale = SCALES.get(neighbour.text.casefold())
            if scale is None:
                unit = neighbour.unit
                break
            values = frozenset(_scaled(value, scale) for value in values)
        if not unit and position and words[position - 1].text in "$€£¥":
            unit = words[position - 1].unit
        if unit or values is not word.values:
            words[position] = replace(word, key=min(values), values=values, unit=unit)
    return words


def _scaled(value: str, scale: int) -> str:
    try:
        return f"{float(value) * scale:.12g}"
    except ValueError:
        return value
