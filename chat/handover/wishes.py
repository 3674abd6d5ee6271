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
_HERE = (
    r"(?=\s*(?:$|[.;!?]|,(?!\s*(?:who|that|which)\b)|please|now|here|asap|today|right\s+(?:now|away)|immediately|instead"
    r"|directly|on\s+the\s+(?:phone|line)|(?:to|who\s+can|that\s+can)\s+(?:help|call|contact|talk|speak|assist|answer)\b))"
)
"""What may follow on a person who is wanted: "I need a manager to approve it" wants another one."""
_MYSELF = (
    r"(?:(?:^|[.,;:!?]\s*)(?:(?:please|just|ok|okay|hi|hello|no|yes)[,!.]?\s+)*"
    rf"|\b(?:i|we)(?:['’]\w+)?\s+{_WORDS}{{0,6}}?"
    rf"|\b(?:let|allow)\s+me\s+(?:to\s+)?|\b(?:want|need|like|wish|prefer|possible)\s+to\s+)"
)
_WANT = (
    r"(?:i|we)(?:\s+(?:\w+\s+)?(?:want|need|demand|require|prefer)"
    r"|(?:['’]d|\s+would)\s+(?:\w+\s+)?(?:like|prefer))"
)
_GREETING = r"(?:please|hi|hello|hey|ok|okay|no|yes|just)"
_FIRST = rf"(?:^|[.,;:!?]\s*)(?:{_GREETING}[,!.]?\s+)*"
_SOMEBODY = r"(?:some|any)(?:one|body)"
_CALL = (
    r"(?:call|phone|ring)\s+(?:me|us)(?:\s+back)?"
    r"(?=\s*(?:$|[.,;!?]|please|now|today|tomorrow|later|asap|as\s+soon|about|(?:at|on)\s+\+?\d))"
)

_ENGLISH = (
    rf"{_MYSELF}{_SPEAK}\s+{_WHOM}",
    rf"\b(?:connect|transfer|put|pass|hand|forward|redirect)\s+me\s+(?:over\s+|through\s+|on\s+)*(?:to|with)\s+{_WHOM}",
    rf"\b(?:get|give|send|bring|find)\s+me\s+(?:{_DETERMINER}{_KIND}{_PERSON}\b{_NO_THING}|{_KIND}{_ANYONE})",
    rf"\b{_WANT}\s+{_DETERMINER}{_KIND}{_PERSON}\b{_NO_THING}{_HERE}",
    rf"\b{_WANT}\s+(?:(?:to\s+(?:reach|contact)|the|your)\s+)*customer\s+(?:service|support|care)\b{_HERE}",
    rf"\b(?:bot|chatbot|robot|machine|computer|ai|assistant)\s+but\s+(?:to|with)\s+{_WHOM}",
    r"\b(?:can|could|would)\s+(?:an?|some)\s+(?:human(?:\s+being)?|(?:real|live|actual|human)\s+(?:person|agent))"
    r"\s+(?:please\s+)?(?:help|call|contact|answer|assist|write\s+to)\s+(?:me|us)\b",
    rf"\b{_WANT}\s+(?:an?\s+)?(?:human|(?:real|live|actual|human)\s+(?:person|being|agent|support|help))\b"
    r"(?!\s+(?:readable|error|resources))",
    rf"\b(?:{_WANT}(?:\s+to\s+(?:get|have))?|(?:can|could|may)\s+(?:i|we)\s+(?:please\s+)?(?:get|have)|get\s+me)\s+"
    rf"(?:some\s+)?(?:help|assistance)\s+(?:from|by)\s+{_WHOM}{_HERE}",
    rf"{_FIRST}(?:some\s+)?help\s+(?:from|by)\s+{_WHOM}{_HERE}",
    rf"{_FIRST}(?:(?:can|could|would)\s+(?:you|{_SOMEBODY})\s+|(?:have|get)\s+{_SOMEBODY}\s+(?:to\s+)?|{_SOMEBODY}\s+)?"
    rf"(?:please\s+)?{_CALL}",
    rf"\b{_WANT}\s+(?:you|{_SOMEBODY})\s+to\s+{_CALL}",
    rf"\b{_WANT}\s+(?:to\s+request\s+)?a\s+(?:phone\s+call|call(?:[\s-]?back)?)\b{_HERE}",
    rf"{_FIRST}(?:(?:is|are)\s+(?:there\s+)?)?{_SOMEBODY}\s+(?:out\s+)?(?:there|here|around)"
    r"(?:\s+(?:please|now|today))?\s*[?!.]*$",
    r"\b(?:is|are)\s+there\s+(?:(?:an?|any|some|also|even|actually)\s+)*(?:(?:real|live|actual|human)\s+)*"
    r"(?:humans?(?:\s+beings?)?|persons?|people|agents?)\s+(?:here|there|around|i\s+can\s+(?:talk|speak|chat|write)\s+(?:to|with))"
    r"(?:\s+(?:please|now|today|too))?\s*[?!.]*$",
    rf"\b(?:is|are)\s+there\s+{_WORDS}{{0,3}}?(?:human|(?:real|live)\s+(?:person|people|agent)|someone|somebody|anyone)"
    r"\s+(?:that\s+|whom?\s+)?(?:i|we)\s+(?:can|could|may)\s+(?:talk|speak|chat|write)\b",
    rf"^\s*(?:{_GREETING}[,!.]?\s+)*(?:(?:a|an|the)\s+)?(?:human(?:\s+being)?|agent"
    r"|(?:real|live|actual)\s+(?:person|human|agent)|human\s+agent|representative|operator|live\s+chat|human\s+(?:support|help)|support\s+agent"
    r"|customer\s+(?:service|support|care)(?:\s+(?:agent|rep|representative))?|support(?=,?\s+please))"
    r"(?:[,]?\s+(?:please|now))*\s*[.!]*\s*$",
)

_MENSCH = (
    r"(?:menschen|mensch|mitarbeiter(?:in)?|mitarbeitenden?|kundenberater(?:in)?|berater(?:in)?|ansprechpartner(?:in)?"
    r"|agenten|person|support-?mitarbeiter(?:in)?|jemand(?:em|en)?|kundendienst|kundenservice|support)"
)
_ART = r"(?:(?:echte|richtige|reale|lebende|menschliche|leibhaftige)[nrms]?\s+)*"
_EIN = r"(?:(?:ein|eine[nmr]?|'?ne[nmr]?|eure[nmr]?|ihre[nmr]?|de[mnr]|irgend)\s*)?"
_SPRECHEN = r"(?:sprechen|reden|chatten|telefonieren|unterhalten|verbinden|verbunden)"
_ENDE = r"(?=\s*(?:$|[.,;:!?]|sprechen\b|bitte\b|jetzt\b|dafür\b|am\s+telefon\b))"
_BERATER = r"(?:support-?)?mitarbeiter(?:in)?|(?:kunden)?berater(?:in)?|ansprechpartner(?:in)?|(?:support-?)?agenten"
_HIER = r"(?=\s*(?:$|[.;!?]|,(?!\s*(?:de[rnms]|die|das|welche\w*)\b)|bitte\b|jetzt\b|sofort\b|am\s+telefon\b))"
_ANFANG = r"(?:^|[.,;:!?]\s*)(?:(?:bitte|hallo|hi|guten\s+tag|dann)[,!.]?\s+)*"
_HELFEN = r"(?:(?:weiter)?helfen|antworten|sprechen|reden)"
_GERMAN = (
    rf"\b(?:ich|wir)\s+(?:möchten?|will|wollen|brauchen?|hätten?\s+gern\w*)\s+(?:(?:bitte|gern\w*|nur)\s+)*(?:die\s+)?hilfe\s+"
    rf"(?:von|durch)\s+{_EIN}{_ART}{_MENSCH}\b{_HIER}",
    rf"\b(?:kann|könnte)\s+(?:mir|uns)\s+(?:(?:bitte|hier|auch|vielleicht)\s+)*eine?\s+{_ART}(?:mensch|person|{_BERATER})"
    rf"\s+(?:bitte\s+)?{_HELFEN}\b",
    rf"\b(?:gibt\s+es|sind|ist)\s+(?:(?:hier|da|dort|denn|auch|noch|überhaupt|wirklich)\s+)*"
    rf"(?:(?:(?:eine?n?|irgendein\w*)\s+{_ART}|(?:echte|richtige|reale|lebende)[nr]?\s+)(?:mensch(?:en)?|person(?:en)?)|jemand(?:en)?)"
    rf"(?:\s+(?:hier|da|dort))?(?:,?\s+(?:de[rnm]|die|mit\s+de[rm])\s[^.!?]*\b{_HELFEN}(?:\s+k[aö]nn\w*)?)?\s*[?!.]*$",
    rf"{_ANFANG}jemand\s+(?:da|hier)\s*[?!.]*$",
    rf"{_ANFANG}ruf\w*\s+(?:sie\s+)?(?:mich|uns)\b[^.!?,;]*\b(?:an|zurück)\b(?![^.!;]*\?)",
    rf"{_ANFANG}(?:kann|könn\w*|kannst|würde\w*)\s+(?:(?:sie|ihr|du)\s+)?(?:mich|uns)\s+(?:[\w-]+\s+){{0,4}}?"
    r"(?:zurückrufen|anrufen)\b",
    r"(?:\bbitte\s+um|\b(?:ich|wir)\s+(?:möchten?|will|wollen|brauchen?|wünschen?|hätten?\s+gern\w*)(?:\s+(?:gern\w*|bitte))*)"
    rf"\s+(?:einen?\s+)?(?:\w+en\s+)?rückruf\b{_HIER}",
    rf"{_ANFANG}rückruf(?:,?\s+bitte)?\s*[.!]*$",
    rf"\b(?:ich|wir|mich|uns)\b[^.!?,;]*\b(?:mit|zu)\s+{_EIN}{_ART}{_MENSCH}\b(?:\s+[\w-]+){{0,4}}?\s+{_SPRECHEN}\b",
    rf"\b(?:ich|wir)\b[^.!?,;]*\bmit\s+{_EIN}{_ART}{_MENSCH}\s+(?:gern\w*\s+|direkt\s+)?schreiben\b",
    rf"\bverbind\w*\s+(?:sie\s+|du\s+)?(?:mich|uns)\s+(?:bitte\s+)?mit\s+{_EIN}{_ART}{_MENSCH}\b",
    rf"\b(?:sondern|aber)\s+(?:lieber\s+)?mit\s+{_EIN}{_ART}{_MENSCH}\b",
    rf"\b(?:ich|wir)\s+(?:möchten?|will|wollen|brauchen?|verlangen?|hätten?\s+gern\w*)\s+"
    rf"(?:(?:jetzt|bitte|sofort|nur)\s+)*eine[nr]?\s+{_ART}(?:{_BERATER})\b{_HIER}",
    rf"^\s*(?:bitte\s+)?mit\s+{_EIN}{_ART}{_MENSCH}\s+{_SPRECHEN}\b",
    rf"\b(?:ich|wir)\s+(?:möchten?|will|wollen|brauchen?|würden?)\s+(?:gern\w*\s+|bitte\s+|nur\s+)*{_EIN}{_ART}"
    rf"(?:menschen|echte\w*\s+person|menschliche\w*\s+(?:hilfe|ansprechpartner\w*))\b{_ENDE}",
    r"\b(?:kann|könnte|darf|möchte|will)\s+ich\s+(?:bitte\s+)?(?:jemanden|einen\s+(?:menschen|mitarbeiter))\s+sprechen\b",
    rf"\bich\s+(?:möchte|will)\s+(?:bitte\s+)?(?:jemanden|einen\s+{_ART}(?:menschen|mitarbeiter))\s+sprechen\b",
    rf"^\s*(?:(?:bitte|hallo|hi|guten\s+tag)[,!.]?\s+)*{_EIN}{_ART}(?:mensch|menschen|{_BERATER}|kundendienst|kundenservice"
    r"|support(?=,?\s+bitte))(?:,?\s+bitte)?\s*[.!]*\s*$",
)

_WISHES = {
    language: [re.compile(pattern, re.IGNORECASE) for pattern in patterns]
    for language, patterns in {"en": _ENGLISH, "de": _GERMAN}.items()
}
_DECLINED = re.compile(
    r"\b(?:don['’]?t|do\s+not|doesn['’]?t|did\s?n['’]?t|never|neither|nor|without|no\s+need|not|instead\s+of|rather\s+than"
    r"|avoid\w*|had\s+to|nicht|kein\w*|ohne|statt|musste\w*|vermeiden"
    r"|(?:was|were|been|am\s+i|are\s+we)\s+(?:\w+\s+)?(?:talk|speak|chatt)ing)\b",
    re.IGNORECASE,
)
"""What makes no wish of it, in the words of the wish or just before them in the same clause."""
_NEEDS = re.compile(r"\b(?:have\s+to|got\s+to|must|muss|müssen|müssten?)\b", re.IGNORECASE)
_ASKS_WHETHER = re.compile(
    r"\b(?:do|did|will|would)\s+(?:i|we)\s+(?:\w+\s+)?(?:have|need|got)\b"
    r"|\b(?:must|should|shall)\s+(?:i|we)\s+(?:\w+\s+)?(?:talk|speak|chat)\b"
    r"|\b(?:if|when|why|whether|unless|until)\s+(?:i|we)\s+(?:\w+\s+)?(?:have\s+to|got\s+to|must)\b"
    r"|^\W*(?:(?:warum|wieso|weshalb|wozu|wann|wo|denn|ob)\s+)*(?:muss|müssen|müssten?|soll|sollen)\s+(?:ich|wir)\b"
    r"|\b(?:ob|wenn|falls|warum|wieso|weshalb|dass)\s+(?:ich|wir)\b.*\b(?:muss|müssen|müssten?|soll|sollen)\W*$",
    re.IGNORECASE,
)
"""A question whether one has to, as "Do I have to speak to an agent to cancel?"; "I have to" is a wish."""
_STARTS = (
    r"(?:i|we|let|can|could|may|please|connect|put|get|give|want|need|would|ich|wir|will|wollen|möchten?|kann|könnte|darf"
    r"|bitte|verbind\w*)"
)
_LINKS = (
    r"(?:think|thought|believe|say|saying|said|mean|know|sure|that|if|why|how|when|where|until|unless|before|whether|do|did"
    r"|don['’]?t|didn['’]?t|must|should|shall|can|can['’]?t|could|couldn['’]?t|may|will|won['’]?t|would|have|am|are|was|were"
    r"|not|never|nor|neither|someone|somebody|anyone|anybody|person|human|agent|who|whom|dass|ob|wenn|weil|warum|wieso"
    r"|weshalb|falls|bevor|als|damit|wie|wo|wann|muss|soll|kann|darf|möchte|könnte|müsste|würde|habe|hätte|bin"
    r"|glaube|denke|brauche)"
)
_CLAUSE_BEGINS = re.compile(
    r"[.,;:!?]"
    rf"|\b(?:and|so|then|because|und|also|deshalb|daher|darum|dann)\s+(?:(?:please|just|now|so|then|bitte|jetzt|deshalb"
    rf"|daher|darum|dann)\s+)*(?={_STARTS}\b)"
    r"|\b(?:but|aber|sondern)\s"
    rf"|\b(?!{_LINKS}\b)[\w'’]+\s+(?=(?:i|we|ich|wir)(?:['’]\w+)?\s)",
    re.IGNORECASE,
)
"""What comes before is another clause: "It does not work and I want …", also where nothing is between the two."""
_WORDS_BEFORE = 3
_SENTENCE = re.compile(r"[^.!?\n。！？؟।]+[.!?。！？؟।]*")
_SENTENCES, _SENTENCE_MAX_CHARS = 5, 200
"""The last sentences of a message are looked at, and none that is longer: a wish is short and comes last."""


def wants_person(message: str, added: tuple[Phrases, ...] = ()) -> bool:
    """Return whether the message asks for a person instead of the bot; takes 3 ms for the longest that is looked at.

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


def _is_declined(sentence: str, found: re.Match[str]) -> bool:
    """Return whether the clause that holds the wish says that it is none, or asks whether it has to be."""
    start = max((begin.end() for begin in _CLAUSE_BEGINS.finditer(sentence, 0, found.end())), default=0)
    before = " ".join(sentence[start : found.start()].split()[-_WORDS_BEFORE:])
    clause = f"{before} {sentence[max(start, found.start()) : found.end()]}".strip()
    next_word = sentence[found.end() :].split(maxsplit=1)[:1]  # the verb of a German clause comes last
    is_asked = sentence.endswith("?") and _NEEDS.search(clause)
    return bool(is_asked or _DECLINED.search(clause) or _ASKS_WHETHER.search(" ".join([clause, *next_word])))
