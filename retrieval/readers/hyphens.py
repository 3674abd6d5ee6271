"""Join the words that a hyphen divides at the end of a line, and keep the hyphens that belong to a word.

What the rest of the document writes decides, then a dictionary of its language, then the rules of hyphenation.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from spellchecker import SpellChecker

_BREAK = "\ufffe"
"""PDFium's sign for a hyphen at the end of a line, with which it replaces the line break."""
_AT_LINE_END = re.compile(r"(?<=\w)[-\u2010\xad\x02\ufffe] ?\n(?=\w)")
_AT_PAGE_END = re.compile(r"(?<=\w)[-\u2010\xad\x02\ufffe]\s*\Z")
_REST = re.compile(r"\s*\w\S*(?=\s+\S)")
"""The rest of a word at the top of a page that has more than that."""
_WORD = re.compile(r"\w+(?:-\w+)*")
_LEFT = re.compile(r"[\w-]*\w\Z")
_RIGHT = re.compile(r"\w+(?:-\w+)*")
_REACH = 100
"""Characters before and after a hyphen that are looked at."""
_MAX_PIECES = 6
_FREQUENT = {
    "en": "the and of to is for you with", "de": "der die das und nicht mit ist für",
    "nl": "het een van de en niet voor", "fr": "le les des et est une pour dans",
    "es": "el los las que por con una para", "it": "il che di per non una con",
    "pt": "os que não uma com para do da", "ru": "и в не на что с по для",
}  # fmt: skip
_CLOSED_COMPOUNDS = ("de", "nl")
"""Languages that write compounds as one word, so that two words make one."""
_CONJUNCTIONS = {
    "and",
    "or",
    "to",
    "und",
    "oder",
    "bzw",
    "sowie",
    "bis",
    "et",
    "ou",
    "y",
    "o",
    "e",
    "en",
    "of",
    "och",
    "og",
}


def join_hyphens(pages: list[str]) -> list[str]:
    """Return the pages with the words at the ends of their lines joined."""
    parts = [_AT_LINE_END.sub(_BREAK, page).split(_BREAK) for page in _joined_pages(pages)]
    if all(len(page) == 1 for page in parts):
        return pages
    words = Counter(word for page in parts for word in _whole_words(page))
    lexicon = _Lexicon(words)
    return [_joined(page, lexicon) for page in parts]


def _joined_pages(pages: list[str]) -> list[str]:
    """Return the pages with the rest of a word that a page's end divides on the page on which it begins."""
    joined = list(pages)
    for number in range(len(joined) - 1):
        hyphen = _AT_PAGE_END.search(joined[number][-_REACH:])
        rest = _REST.match(joined[number + 1])
        if hyphen and rest and rest[0].strip()[:1].islower():
            joined[number] = f"{joined[number].rstrip()}\n{rest[0].strip()}"
            joined[number + 1] = joined[number + 1][rest.end() :].lstrip()
    return joined


class _Lexicon:
    """The words of a document, and those of the dictionary of its language."""

    def __init__(self, words: Counter[str]) -> None:
        self._words = words
        known = {language: sum(words[word] for word in frequent.split()) for language, frequent in _FREQUENT.items()}
        self._language = max(known, key=known.__getitem__)

    def between(self, left: str, right: str) -> str:
        """Return what stands between two parts of a word: nothing, a hyphen, or a hyphen and a space."""
        last, first = left.rpartition("-")[2], right.partition("-")[0]
        joined, with_hyphen = (left + right).casefold(), f"{left}-{right}".casefold()
        if self._words[joined] or self._words[with_hyphen]:
            return "" if self._words[joined] >= self._words[with_hyphen] else "-"
        if last[-1:].isdigit() or right[:1].isdigit() or len(last) == 1:
            return "-"  # no language divides a number, or after a single letter
        if (right[:1].isupper() and not last.isupper()) or left.startswith("-"):
            return "-"
        if self.knows(last + first):
            return ""
        if right.casefold() in _CONJUNCTIONS:
            return "- "
        is_chain = left.count("-") + right.count("-") > 1
        is_compound = self.knows(last) and self.knows(first) and self._language not in _CLOSED_COMPOUNDS
        return "-" if is_chain or is_compound else ""

    def knows(self, word: str) -> bool:
        """Return whether the dictionary of the document's language has a word."""
        return word.casefold() in _dictionary(self._language)


@lru_cache(maxsize=2)
def _dictionary(language: str) -> SpellChecker:
    """Return the dictionary of a language, which takes 0.2 s and some 30 MB."""
    return SpellChecker(language=language)


def _whole_words(parts: list[str]) -> Iterator[str]:
    """Yield the words of a text that no hyphen at the end of a line divides."""
    for number, part in enumerate(parts):
        for word in _WORD.finditer(part):
            is_cut = (word.start() == 0 and number > 0) or (word.end() == len(part) and number < len(parts) - 1)
            if not is_cut:
                yield word[0].casefold()


def _joined(parts: list[str], lexicon: _Lexicon) -> str:
    out = [parts[0]]
    for number, part in enumerate(parts[1:], 1):
        left, right = _LEFT.search(_tail(out)), _RIGHT.match(part[:_REACH])
        between = "-"
        if left and right:
            rest = _rest(parts, number)  # a word may be divided more than once
            is_whole = rest != right[0] and lexicon.knows(left[0] + rest)
            between = "" if is_whole else lexicon.between(left[0], right[0])
        out += [between, part]
    return "".join(out)


def _rest(parts: list[str], number: int) -> str:
    """Return the rest of a word whose next piece begins the part `number`, without hyphens."""
    rest = ""
    for part in parts[number : number + _MAX_PIECES]:
        piece = _RIGHT.match(part[:_REACH])
        rest += piece[0] if piece else ""
        if piece is None or piece[0] != part:
            break
    return rest


def _tail(out: list[str]) -> str:
    tail = ""
    for part in reversed(out):
        tail = part[-_REACH:] + tail
        if len(tail) >= _REACH or re.search(r"\W\w*\Z", tail):
            break
    return tail
