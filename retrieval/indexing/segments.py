"""Find where a text without structure may be divided: at sentences, between words, and inside words without end.

Every boundary follows from the characters around it, never from their number: an edit moves only the boundaries near
it. No boundary is inside a grapheme cluster (Unicode Standard Annex 29), unless the cluster has no end either.
"""

import re
import zlib
from collections.abc import Iterator
from enum import IntEnum
from unicodedata import category

import regex

_SENTENCE_MIN_CHARS = 40
# Full stops that need no space after them (Chinese, Japanese), and those of scripts with spaces: Indic, Urdu, Arabic,
# Armenian, Ethiopic, Burmese and Khmer.
_STOPS = "\u3002\uff01\uff1f\uff61"
_CLOSING_QUOTES = "\u300d\u300f\u201d\u2019\uff09\u3011\u300b)"
_STOPS_BEFORE_SPACE = "\u0964\u0965\u061f\u06d4\u0589\u1362\u104a\u104b\u17d4\u17d5"
_SENTENCE_END = re.compile(
    r"(?<=[.!?;:])\s+"
    rf"|[{_STOPS}]+[{_CLOSING_QUOTES}]*\s*"
    rf"|(?<=[{_STOPS_BEFORE_SPACE}])\s+"
    r"|(?<!\s)\s*[\r\n]\s*"  # the look-behind keeps a long run of spaces from being read again from each of them
)
# Commas, semicolons and colons: Latin, Chinese, Japanese, full-width, Arabic, Ethiopic and Burmese.
_PHRASE_MARKS = frozenset(",;:\uff0c\u3001\uff1b\uff1a\u060c\u061b\u1363\u1364\u104a")

_LONG_WORD = 32
"""Characters from which a word is divided: longer than the words of a language with spaces."""
_WORD = re.compile(rf"\S+\s{{0,{_LONG_WORD}}}|\s{{1,{_LONG_WORD}}}")
_CLUSTER = regex.compile(r"\X")
_EVERY = 8
"""One of this many places in a long word is a boundary, chosen by the characters around it."""

# Thai and Lao: some vowels are written before their consonant and belong to what follows; others end a syllable.
_BINDS_NEXT = frozenset("\u0e40\u0e41\u0e42\u0e43\u0e44\u0ec0\u0ec1\u0ec2\u0ec3\u0ec4")
_BINDS_PREVIOUS = frozenset("\u0e2f\u0e30\u0e32\u0e33\u0e45\u0e46\u0eaf\u0eb0\u0eb2\u0eb3\u0ec6")
_OPENING = frozenset({"Ps", "Pi"})
_CLOSING = frozenset({"Pe", "Pf", "Po", "Lm", "Mn", "Mc"})


class Boundary(IntEnum):
    """How well a text may be divided there; lower is better, on the scale of `markdown_blocks`."""

    SENTENCE = 30
    PHRASE = 32
    WORD = 34
    SIGN = 42
    """Inside a long word, after a sign such as the slash of an address."""
    CLUSTER = 50
    """Inside a long word, between two characters as a reader sees them."""


def sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield [begin, stop) of the sentences and lines; short ones are joined to those that follow."""
    begin = start
    for found in _SENTENCE_END.finditer(text, start, end):
        if found.end() - begin >= _SENTENCE_MIN_CHARS:
            yield begin, found.end()
            begin = found.end()
    if begin < end:
        yield begin, end


def segments(text: str, start: int, end: int) -> Iterator[tuple[int, int, Boundary]]:
    """Yield (begin, stop, kind of the boundary at `begin`) of the words, and of the parts of long words.

    A segment has at most twice _LONG_WORD characters.
    """
    kind = Boundary.WORD
    for word in _WORD.finditer(text, start, end):
        begin, stop = word.span()
        for cut, cut_kind in _cuts(text, begin, stop):
            yield begin, cut, kind
            begin, kind = cut, cut_kind
        yield begin, stop, kind
        kind = Boundary.PHRASE if _ends_phrase(text, stop) else Boundary.WORD


def clusters(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield [begin, stop) of the characters as a reader sees them."""
    return (found.span() for found in _CLUSTER.finditer(text, start, end))


def _ends_phrase(text: str, stop: int) -> bool:
    return text[max(0, stop - _LONG_WORD) : stop].rstrip()[-1:] in _PHRASE_MARKS


def _cuts(text: str, start: int, end: int) -> Iterator[tuple[int, Boundary]]:
    """Yield the boundaries inside a word, if it is long."""
    if end - start <= _LONG_WORD:
        return
    end = start + len(text[start:end].rstrip())
    last = start
    for cluster in _CLUSTER.finditer(text, start, end):
        at, stop = cluster.span()
        kind = _kind(text, at) if at > last else None
        if kind is None and at > last and stop - last > _LONG_WORD:
            kind = Boundary.CLUSTER
        if kind is not None:
            yield at, kind
            last = at
        while stop - last > 2 * _LONG_WORD:  # a cluster without end
            last += _LONG_WORD
            yield last, Boundary.CLUSTER


def _kind(text: str, at: int) -> Boundary | None:
    """Return what kind of boundary is between two clusters of a long word; None for no boundary."""
    before, after = text[at - 1], text[at]
    if before in _BINDS_NEXT or after in _BINDS_PREVIOUS:
        return None
    kind_before, kind_after = category(before), category(after)
    if kind_before in _OPENING or kind_after in _CLOSING:
        return None
    if before in _PHRASE_MARKS:
        return Boundary.PHRASE
    if kind_before[0] in "PS" and kind_after[0] not in "PS":
        return Boundary.SIGN
    return Boundary.CLUSTER if zlib.crc32(text[max(0, at - 2) : at + 2].encode()) % _EVERY == 0 else None
