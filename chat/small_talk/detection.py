"""Recognise a message that is nothing but small talk, and in which languages."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from unicodedata import category

from chat.phrases.known import Phrases
from chat.small_talk.phrases import EMOJI, PHRASES, PhraseKind

_MAX_CHARS = 120
_MAX_WORDS = 12
_REPEATED = re.compile(r"([^\W\d_])\1+")
_PUNCTUATION = re.compile(r"[^\w']+|(?<!\w)'+|'+(?!\w)")
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u00b4`", "'"))
_EMOJI_PARTS = re.compile("[\ufe0e\ufe0f\u200d\U0001f3fb-\U0001f3ff]")
_SMILEY = re.compile(r"(?<!\w)(?:[:;8]-?[)D]|<3|\^\^)(?!\w)")
_MORE_THAN_WORDS = re.compile(r"[\d_/@#<>=&%$€+*{}\[\]|\\^]|[:;]'?-?[(/]")
_KNOWN_EMOJI = dict.fromkeys(map(ord, "".join(EMOJI.values())), " ")
_RANK = (PhraseKind.GOODBYE, PhraseKind.THANKS, PhraseKind.GREETING, PhraseKind.APPROVAL)
"""The first of several kinds in one message is answered: "Thanks, bye" is a goodbye."""
_Table = Mapping[tuple[str, ...], PhraseKind]


@dataclass(frozen=True, kw_only=True)
class SmallTalk:
    kind: PhraseKind
    """Not FILLER."""
    languages: tuple[str, ...]
    """In which the message says that; every language for a message of emoji alone."""


def small_talk_in(message: str, added: tuple[Phrases, ...] = ()) -> SmallTalk | None:
    """Return what the message says if the whole of it is small talk; None for everything else.

    "Hi, how do I reset my password?" is a question. `added` are the phrases of an operator.
    """
    if len(message) > _MAX_CHARS:
        return None
    text = _EMOJI_PARTS.sub("", message.translate(_APOSTROPHES))
    words = _words(text)
    if words is None or len(words) > _MAX_WORDS:
        return None
    shown = {kind for kind, signs in EMOJI.items() if any(sign in text for sign in signs)}
    tables = _tables(added).items()
    said = {language: shown | kinds for language, table in tables if (kinds := _kinds(table, words)) is not None}
    kind = next((kind for kind in _RANK if any(kind in kinds for kinds in said.values())), None)
    if kind is None or (kind is PhraseKind.APPROVAL and "?" in text):  # "It works?"
        return None
    return SmallTalk(kind=kind, languages=tuple(language for language, kinds in said.items() if kind in kinds))


def _words(text: str) -> tuple[str, ...] | None:
    """Return the words of a text; None if something else than words and what we know of emoji is there."""
    rest = _SMILEY.sub(" ", text).translate(_KNOWN_EMOJI)
    if _MORE_THAN_WORDS.search(rest) or any(category(char) == "So" for char in rest):
        return None
    return _normalised(rest)


def _normalised(text: str) -> tuple[str, ...]:
    """Return the words in small letters; a letter that stands several times in a row counts once: "heyyy", "good"."""
    return tuple(_PUNCTUATION.sub(" ", _REPEATED.sub(r"\1", text.casefold())).split())


def _kinds(phrases: _Table, words: tuple[str, ...]) -> set[PhraseKind] | None:
    """Return the kinds of the phrases that the words are made of; None if they are not made of phrases alone."""
    longest = max(map(len, phrases), default=0)
    # reached[n]: the kinds in the first n words, of the way that ends in the longest phrase.
    reached: list[set[PhraseKind] | None] = [set(), *[None] * len(words)]
    for end in range(1, len(words) + 1):
        for start in range(max(0, end - longest), end):
            kind, before = phrases.get(words[start:end]), reached[start]
            if kind is not None and before is not None:
                reached[end] = before | {kind}
                break
    return reached[-1]


@lru_cache(maxsize=8)
def _tables(added: tuple[Phrases, ...]) -> Mapping[str, _Table]:
    """Return for each language the kind of each phrase by its words.

    One in two lists has the kind that is answered first.
    """
    found: dict[str, dict[tuple[str, ...], PhraseKind]] = {}
    listed = [*PHRASES.items(), *((own.language, _by_kind(own)) for own in added)]
    for kind in (*_RANK, PhraseKind.FILLER):
        for language, phrases in listed:
            for phrase in phrases[kind]:
                if words := _normalised(phrase):
                    found.setdefault(language, {}).setdefault(words, kind)
    return found


def _by_kind(phrases: Phrases) -> Mapping[PhraseKind, Sequence[str]]:
    return {
        PhraseKind.GREETING: phrases.greetings, PhraseKind.THANKS: phrases.thanks, PhraseKind.GOODBYE: phrases.goodbyes,
        PhraseKind.APPROVAL: phrases.approvals, PhraseKind.FILLER: phrases.fillers,
    }  # fmt: skip
