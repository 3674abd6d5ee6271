"""The wish for a person in phrases: of an operator, and those that come with the bot beside English and German.

A sentence that is a phrase is a wish, and one that begins with a phrase that ends in an ellipsis. So a phrase needs no
grammar, and a question that has it somewhere else stays a question.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Self

from chat.phrases.known import Phrases
from common.phrases import begins_with, words_of

ELLIPSIS = ("…", "...")


def _beginnings(starts: str, whom: str, end: str = "") -> tuple[str, ...]:
    """Return each start with each person, as beginnings; both are divided by strokes."""
    return tuple(f"{start} {who}{end}…" for start, who in product(starts.split("|"), whom.split("|")))


BUILT_IN = (
    Phrases(
        language="fr",
        wishes=(
            *_beginnings(
                "je veux parler à|je voudrais parler à|je souhaite parler à|j'aimerais parler à|puis-je parler à"
                "|je peux parler à|est-ce que je peux parler à|pourrais-je parler à|parler à|passez-moi"
                "|mettez-moi en relation avec",
                "un humain|une personne|une vraie personne|un être humain|un conseiller|une conseillère|un agent"
                "|quelqu'un|un opérateur",
            ),
            "un humain", "humain", "un conseiller", "conseiller", "une vraie personne", "je veux un humain",
        ),
        fillers=("bonjour", "bonsoir", "salut", "merci", "s'il vous plaît", "s'il te plaît", "svp", "stp"),
    ),
    Phrases(
        language="es",
        wishes=(
            *_beginnings(
                "quiero hablar con|quisiera hablar con|querría hablar con|me gustaría hablar con|necesito hablar con"
                "|puedo hablar con|podría hablar con|hablar con|pásame con|páseme con|comuníqueme con",
                "una persona|una persona real|un humano|un ser humano|un agente|alguien|un asesor|un operador",
            ),
            "una persona", "una persona real", "un humano", "humano", "un agente", "agente", "asesor",
        ),
        fillers=("hola", "buenos días", "buenas tardes", "buenas noches", "gracias", "por favor"),
    ),
    Phrases(
        language="it",
        wishes=(
            *_beginnings(
                "voglio parlare con|vorrei parlare con|posso parlare con|potrei parlare con|ho bisogno di parlare con"
                "|parlare con|mi passi|mi metta in contatto con",
                "un operatore|una persona|una persona reale|un umano|un essere umano|qualcuno|un agente|un consulente",
            ),
            "un operatore", "operatore", "una persona", "una persona reale", "un umano",
        ),
        fillers=("ciao", "buongiorno", "buonasera", "salve", "grazie", "per favore", "per piacere"),
    ),
    Phrases(
        language="pt",
        wishes=(
            *_beginnings(
                "quero falar com|queria falar com|gostaria de falar com|preciso falar com|preciso de falar com"
                "|posso falar com|poderia falar com|falar com|me passe para",
                "uma pessoa|uma pessoa real|um humano|um ser humano|um atendente|alguém|um agente|um operador",
            ),
            "um atendente", "atendente", "uma pessoa", "um humano", "humano",
        ),
        fillers=("olá", "oi", "bom dia", "boa tarde", "boa noite", "obrigado", "obrigada", "por favor"),
    ),
    Phrases(
        language="nl",
        wishes=(
            *_beginnings(
                "ik wil met|ik wil graag met|ik zou graag met|kan ik met|mag ik met|kan ik even met",
                "een mens|een medewerker|iemand|een echt persoon|een persoon", " praten",
            ),
            *_beginnings(
                "ik wil met|ik wil graag met|ik zou graag met|kan ik met|mag ik met|kan ik even met"
                "|ik wil graag|kan ik",
                "een mens|een medewerker|iemand|een echt persoon|een persoon", " spreken",
            ),
            "een medewerker", "medewerker", "een mens",
        ),
        fillers=("hallo", "hoi", "goedemorgen", "goedemiddag", "alstublieft", "alsjeblieft", "graag", "bedankt"),
    ),
    Phrases(
        language="pl",
        wishes=(
            *_beginnings(
                "chcę rozmawiać z|chcę porozmawiać z|chciałbym porozmawiać z|chciałabym porozmawiać z"
                "|czy mogę porozmawiać z|mogę porozmawiać z|proszę o rozmowę z|połącz mnie z|proszę mnie połączyć z",
                "człowiekiem|konsultantem|pracownikiem|kimś|doradcą",
            ),
            "konsultant", "człowiek",
        ),
        fillers=("dzień dobry", "cześć", "witam", "dziękuję", "proszę"),
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Wishes:
    """The phrases of some languages, as they are compared with the words of a sentence."""

    whole: frozenset[str]
    beginnings: tuple[str, ...]
    around: tuple[str, ...]
    """Greetings and words that say nothing, the longest first."""

    @classmethod
    def of(cls, phrases: Iterable[Phrases]) -> Self:
        phrases = list(phrases)
        wishes = [(wish.rstrip().endswith(ELLIPSIS), words_of(wish)) for each in phrases for wish in each.wishes]
        around = {words_of(word) for each in phrases for word in (*each.fillers, *each.greetings, *each.thanks)}
        return cls(
            whole=frozenset(words for _, words in wishes if words),
            beginnings=tuple({words for is_beginning, words in wishes if is_beginning and words}),
            around=tuple(sorted(around - {""}, key=len, reverse=True)),
        )

    def has(self, words: str) -> bool:
        words = self._inner(words)
        if words in self.whole:
            return True
        # At once for all of them, since few sentences begin like any.
        return words.startswith(self.beginnings) and any(begins_with(words, each) for each in self.beginnings)

    def _inner(self, words: str) -> str:
        """Return the words without what stands around a wish."""
        padded, before = f" {words} ", ""
        while padded != before:
            before = padded
            for phrase in self.around:
                padded = padded[len(phrase) + 1 :] if padded.startswith(f" {phrase} ") else padded
                padded = padded[: -len(phrase) - 1] if padded.endswith(f" {phrase} ") else padded
        return padded.strip()


def asks_for_person(sentence: str, added: tuple[Phrases, ...] = ()) -> bool:
    """Return whether a sentence is a wish by the phrases that come with the bot, or those that an operator added.

    Greetings and words that say nothing may stand around it.
    """
    words = words_of(sentence)
    return bool(words) and (_built_in.has(words) or (bool(added) and _compared(added).has(words)))


_built_in = _Wishes.of(BUILT_IN)


@lru_cache(maxsize=4)
def _compared(added: tuple[Phrases, ...]) -> _Wishes:
    return _Wishes.of(added)
