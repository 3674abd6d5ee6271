"""Recognise an answer that says nothing but that the bot does not know, in the words of a model.

Conservative: an answer that also claims something is an answer. A model that says in other words that it does not know
is taken for one that answers; its sentences are then judged by the passages.
"""

import re
from collections.abc import Collection
from enum import Enum

from chat.grounding.not_known_words import CITED_SOURCES, CLAUSE_END, COURTESY, LEAD, NOT_KNOWN, SUGGESTION
from common.phrases import contains_phrase, words_of
from common.sentences import sentences

_MOST_CHARS = 1_500
"""A longer answer says more than that."""
_SENTENCE_MAX_CHARS = 300
"""Only so much of a sentence is read; in an answer that says nothing else there is none."""
_MARK = re.compile(r"\[\d{1,3}\]")
_FIRST_PERSON = re.compile(r"\b(?:i|we|ich|mir|wir|je|ik|eu)\b", re.IGNORECASE)
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u00b4", "'"))
_MARKUP = re.compile(r"[*_`>#]+|^\s*(?:[-+•]|\d{1,2}[.)])\s+")


class _Says(Enum):
    NOT_KNOWN = "not known"
    NOTHING = "nothing"
    """A courtesy, a question, or where else to ask."""
    SOMETHING = "something"


def says_not_known(text: str, phrases: Collection[str] = ()) -> bool:
    """Return whether all that an answer says is that it is not known, and perhaps where else to ask.

    `phrases` are further words by which a sentence says so. It takes less than a millisecond, because the first
    sentence that claims something ends it.
    """
    if len(text) > _MOST_CHARS:
        return False
    is_found = False
    for start, end in sentences(text):
        said = _said_in(text[start:end], phrases)
        if said is _Says.SOMETHING:
            return False
        is_found |= said is _Says.NOT_KNOWN
    return is_found


def claims_nothing(sentence: str, phrases: Collection[str] = ()) -> bool:
    """Return whether a sentence begins with words that no passage can support: that it is not known, or a courtesy."""
    plain = _plain(sentence)
    return not plain or COURTESY.match(plain) is not None or _is_not_known(plain, phrases)


def _said_in(sentence: str, phrases: Collection[str]) -> _Says:
    if len(sentence) > _SENTENCE_MAX_CHARS:
        return _Says.SOMETHING
    clauses = CLAUSE_END.split(CITED_SOURCES.sub(r"\1 ", sentence))
    said = {_said_by_clause(clause, phrases) for clause in clauses}
    return next((kind for kind in (_Says.SOMETHING, _Says.NOT_KNOWN) if kind in said), _Says.NOTHING)


def _said_by_clause(clause: str, phrases: Collection[str]) -> _Says:
    plain = _plain(clause)
    is_cited = _MARK.search(plain) is not None
    if _is_not_known(plain, phrases):
        # "The passages say nothing of it [1]" names them; "I do not know, since the limit is 5 GB [1]" says something.
        return _Says.SOMETHING if is_cited and _FIRST_PERSON.search(plain) else _Says.NOT_KNOWN
    if is_cited:
        return _Says.SOMETHING
    is_empty = not plain or plain.endswith(("?", "\uff1f")) or COURTESY.match(plain) or SUGGESTION.match(plain)
    return _Says.NOTHING if is_empty else _Says.SOMETHING


def _is_not_known(plain: str, phrases: Collection[str]) -> bool:
    if any(pattern.match(plain) for pattern in NOT_KNOWN):
        return True
    words = words_of(plain) if phrases else ""
    return any(contains_phrase(words, phrase) for phrase in phrases)


def _plain(sentence: str) -> str:
    """Return the beginning of a sentence without markup, and without what only leads to it; "" if nothing is left."""
    text = " ".join(_MARKUP.sub(" ", sentence[:_SENTENCE_MAX_CHARS].translate(_APOSTROPHES)).split())
    while lead := LEAD.match(text):
        text = text[lead.end() :]
    return text if re.search(r"\w", text) else ""
