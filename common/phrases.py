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


def begins_with_phrase(words: str, phrase: str) -> bool:
    """Return whether a phrase stands at the beginning of what `words_of` returned, as whole words."""
    wanted = _words_of_phrase(phrase)
    if not wanted or not words.startswith(wanted):
        return False
    return not _has_spaces(wanted) or words == wanted or words[len(wanted)] == " "


def is_phrase(words: str, phrase: str) -> bool:
    """Return whether what `words_of` returned is a phrase and nothing else."""
    return bool(words) and words == _words_of_phrase(phrase)


def _has_spaces(words: str) -> bool:
    """Return whether the script of the last word has spaces between words: it has no letters without case."""
    return category(words[-1]) != "Lo" or "\u0590" <= words[-1] <= "\u0dff" or "\uac00" <= words[-1] <= "\ud7af"


@lru_cache(maxsize=4096)
def _words_of_phrase(phrase: str) -> str:
    return words_of(phrase)
