"""Recognise in a message the wish to talk to a person: in English and German by patterns, else by phrases.

Conservative: a question about agents, colleagues or people is a question. A wish that is not recognised costs a click
on the button; a question that is taken for one gets no answer.
"""

import re

from chat.handover.wish_phrases import asks_for_person
from chat.phrases.known import Phrases

_OTHERS = r"(?:customers?|users?|clients?|visitors?|guests?|members?|teammates?|team|them|they|him|her|people)"
_WORDS = rf"(?:(?!{_OTHERS}\b)[\w'’]+\s+)"
_DETERMINER = r"(?:an?|the|some|your|one of your)\s+"
_KIND = r"(?:(?:real|live|actual|human|proper|customer|support|service|care|sales)\s+)*"
_PERSON = (
    r"(?:humans?(?:\s+being)?|agent|representative|rep|operator|advis[oe]r|supervisor|manager|staff\s+member|employee"
    r"|(?:real|live|actual|human)\s+(?:person|people|being))"
)
_ANYONE = (
    r"(?:someone|somebody|anyone|anybody|person|people|support(?:\s+team)?|customer\s+(?:service|support|care))"
    r"(?=\s*(?:$|[.,;!?]|please|now|here|today|about|directly|instead|who\b|on\s+the\s+phone"
    r"|(?:from|in|at|of)\s+(?:your|the|support|customer|sales|tech)))"
)
_NO_THING = (
    r"(?!\s+(?:apis?|roles?|lists?|reports?|handbook|manual|dashboard|accounts?|portal|pages?|settings?|plan|software"
    r"|app|console|sdk|ids?|seats?|licen[cs]es?|error|readable|resources|names?)\b)"
)
"""Behind it "agent" and "operator" are no people: "Send me the operator manual"."""
_WHOM = rf"(?:{_DETERMINER})?{_KIND}(?:{_PERSON}|{_ANYONE})\b{_NO_THING}"
_SPEAK = r"(?:talk(?:ing)?|speak(?:ing)?|chat(?:ting)?)\s+(?:to|with)"
_MYSELF = (
    r"(?:(?:^|[.,;:!?]\s*)(?:(?:please|just|ok|okay|hi|hello|no|yes)[,!.]?\s+)*"
    rf"|\b(?:i|we)(?:['’]\w+)?\s+{_WORDS}{{0,6}}?"
    rf"|\b(?:let|allow)\s+me\s+(?:to\s+)?|\b(?:want|need|like|wish|prefer|possible)\s+to\s+)"
)

_ENGLISH = (
    rf"{_MYSELF}{_SPEAK}\s+{_WHOM}",
    rf"\b(?:connect|transfer|put|pass|hand|forward|redirect)\s+me\s+(?:over\s+|through\s+|on\s+)*(?:to|with)\s+{_WHOM}",
    rf"\b(?:get|give|send|bring)\s+me\s+{_DETERMINER}{_KIND}{_PERSON}\b{_NO_THING}",
    r"\b(?:i|we)\s+(?:just\s+|really\s+)?(?:want|need|demand|prefer)\s+(?:an?\s+)?"
    r"(?:human|(?:real|live|actual|human)\s+(?:person|being|agent|support|help))\b(?!\s+(?:readable|error|resources))",
    r"\b(?:i|we)(?:['’]d|\s+would)\s+(?:like|prefer)\s+(?:an?\s+)?(?:human|(?:real|live|human)\s+(?:person|agent))\b"
    r"(?!\s+readable)",
    rf"\b(?:is|are)\s+there\s+{_WORDS}{{0,3}}?(?:human|(?:real|live)\s+(?:person|people|agent)|someone|somebody|anyone)"
    r"\s+(?:that\s+|whom?\s+)?(?:i|we)\s+(?:can|could|may)\s+(?:talk|speak|chat|write)\b",
    r"^\s*(?:(?:a|an|the)\s+)?(?:human|agent|live\s+agent|human\s+agent|real\s+person|representative|operator"
    r"|live\s+chat|human\s+(?:support|help))(?:[,]?\s+(?:please|now))*\s*[.!]*\s*$",
)

_MENSCH = (
    r"(?:menschen|mensch|mitarbeiter(?:in)?|mitarbeitenden?|kundenberater(?:in)?|berater(?:in)?|ansprechpartner(?:in)?"
    r"|agenten|person|support-?mitarbeiter(?:in)?|jemand(?:em|en)?|kundendienst|kundenservice|support)"
)
_ART = r"(?:(?:echte|richtige|reale|lebende|menschliche|leibhaftige)[nrms]?\s+)*"
_EIN = r"(?:(?:ein|eine[nmr]?|'?ne[nmr]?|eure[nmr]?|ihre[nmr]?|de[mnr]|irgend)\s*)?"
_SPRECHEN = r"(?:sprechen|reden|chatten|telefonieren|unterhalten|verbinden|verbunden)"
_ENDE = r"(?=\s*(?:$|[.,;:!?]|sprechen\b|bitte\b|jetzt\b|dafür\b|am\s+telefon\b))"
_GERMAN = (
    rf"\b(?:ich|wir|mich|uns)\b[^.!?,;]*\b(?:mit|zu)\s+{_EIN}{_ART}{_MENSCH}\b(?:\s+[\w-]+){{0,4}}?\s+{_SPRECHEN}\b",
    rf"\b(?:ich|wir)\b[^.!?,;]*\bmit\s+{_EIN}{_ART}{_MENSCH}\s+(?:gern\w*\s+|direkt\s+)?schreiben\b",
    rf"\bverbind\w*\s+(?:sie\s+|du\s+)?(?:mich|uns)\s+(?:bitte\s+)?mit\s+{_EIN}{_ART}{_MENSCH}\b",
    rf"^\s*(?:bitte\s+)?mit\s+{_EIN}{_ART}{_MENSCH}\s+{_SPRECHEN}\b",
    rf"\b(?:ich|wir)\s+(?:möchten?|will|wollen|brauchen?|würden?)\s+(?:gern\w*\s+|bitte\s+|nur\s+)*{_EIN}{_ART}"
    rf"(?:menschen|echte\w*\s+person|menschliche\w*\s+(?:hilfe|ansprechpartner\w*))\b{_ENDE}",
    r"\b(?:kann|könnte|darf|möchte|will)\s+ich\s+(?:bitte\s+)?(?:jemanden|einen\s+(?:menschen|mitarbeiter))\s+sprechen\b",
    rf"\bich\s+(?:möchte|will)\s+(?:bitte\s+)?(?:jemanden|einen\s+{_ART}(?:menschen|mitarbeiter))\s+sprechen\b",
    rf"^\s*{_EIN}{_ART}(?:mensch|menschen|mitarbeiter(?:in)?)(?:,?\s+bitte)?\s*[.!]*\s*$",
)

_WISHES = {
    language: [re.compile(pattern, re.IGNORECASE) for pattern in patterns]
    for language, patterns in {"en": _ENGLISH, "de": _GERMAN}.items()
}
_DECLINED = re.compile(
    r"\b(?:don['’]?t|do\s+not|doesn['’]?t|did\s?n['’]?t|never|without|no\s+need|not|instead\s+of|have\s+to|had\s+to"
    r"|must|nicht|kein\w*|ohne|statt|muss"
    r"|(?:was|were|been|am\s+i|are\s+we)\s+(?:\w+\s+)?(?:talk|speak|chatt)ing)\b",
    re.IGNORECASE,
)
"""What makes no wish of it, in the words of the wish or just before them."""
_WORDS_BEFORE = 3
_SENTENCE = re.compile(r"[^.!?\n。！？؟।]+[.!?。！？؟।]*")
_SENTENCES, _SENTENCE_MAX_CHARS = 5, 200
"""The last sentences of a message are looked at, and none that is longer: a wish is short and comes last."""


def wants_person(message: str, added: tuple[Phrases, ...] = ()) -> bool:
    """Return whether the message asks for a person instead of the bot; takes 2 ms for the longest that is looked at.

    `added` are the phrases of an operator.
    """
    sentences = [" ".join(part.split()) for part in _SENTENCE.findall(message)[-_SENTENCES:]]
    return any(
        _is_wish_by_pattern(sentence) or asks_for_person(sentence, added)
        for sentence in sentences
        if len(sentence) <= _SENTENCE_MAX_CHARS
    )


def _is_wish_by_pattern(sentence: str) -> bool:
    return any(
        not _is_declined(sentence, found)
        for patterns in _WISHES.values()
        for pattern in patterns
        for found in pattern.finditer(sentence)
    )


def _is_declined(text: str, found: re.Match[str]) -> bool:
    clause = re.split(r"[.,;:!?]", text[: found.start()])[-1]
    before = " ".join(clause.split()[-_WORDS_BEFORE:])
    return _DECLINED.search(f"{before} {found[0]}") is not None
