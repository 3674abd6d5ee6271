"""Compare what somebody says with phrases, whatever the case, the accents and the punctuation."""

import re
from functools import lru_cache
from unicodedata import category, normalize

_ACCENTS = re.compile("[\u0300-\u036f]+")
_WORD = re.compile(r"\w+")


def words_of(text: str) -> str:
    """Return the words of a text in small letters and without accents, with single spaces between them."""
    plain = _ACCENTS.sub("", normalize("NFKD", text.casefold()))
    return " ".join(_WORD.findall(normalize("NFC", plain)))


def contains_phrase(words: str, phrase: str) -> bool:
    """Return whether a phrase stands in what `words_of` returned, as whole words.

    In a script without spaces between words, such as Chinese, it may stand within a word.
    """
    wanted = _words_of_phrase(phrase)
    if not wanted or wanted not in words:
        return False
    return not _has_spaces(wanted) or f" {wanted} " in f" {words} "


def begins_with(words: str, beginning: str) -> bool:
    """Return whether words, as `words_of` returns them, begin with others, as whole words."""
    if not words.startswith(beginning):
        return False
    return words == beginning or words[len(beginning)] == " " or not _has_spaces(beginning)


def _has_spaces(words: str) -> bool:
    """Return whether the script of the last word has spaces between words.

    That of letters without case has none, but for Hebrew, Arabic, those of India, and Korean.
    """
    last = words[-1]
    return category(last) != "Lo" or "\u0590" <= last <= "\u0dff" or "\uac00" <= last <= "\ud7af"


@lru_cache(maxsize=1024)
def _words_of_phrase(phrase: str) -> str:
    return words_of(phrase)
