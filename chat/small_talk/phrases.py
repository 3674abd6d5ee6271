"""What people say beside their questions, for each language. To add a language, add a table of its phrases.

A phrase is in small letters without punctuation; the words of a phrase may stand in a message with any punctuation
between them. A message is small talk only if it is made of these phrases alone.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum


class PhraseKind(StrEnum):
    GREETING = "greeting"
    THANKS = "thanks"
    GOODBYE = "goodbye"
    APPROVAL = "approval"
    """Such as "ok" or a thumb up; it may also be the answer to a question of the bot."""
    FILLER = "filler"
    """What stands beside the others, and says nothing alone."""


ENGLISH: Mapping[PhraseKind, Sequence[str]] = {
    PhraseKind.GREETING: (
        "hi", "hello", "hey", "hiya", "howdy", "yo", "greetings", "good morning", "good afternoon", "good evening",
        "good day", "morning", "evening", "hi there", "hello there", "hey there", "how are you", "how are you doing",
        "how is it going", "how's it going", "what's up", "whats up", "sup", "nice to meet you", "are you there",
        "anyone there", "anybody there",
    ),
    PhraseKind.THANKS: (
        "thanks", "thank you", "thank u", "thx", "thnx", "tnx", "ty", "tysm", "cheers", "many thanks", "merci",
        "much appreciated", "thanks a lot", "thanks a million", "thanks a bunch", "thank you so much",
        "thank you very much", "i appreciate it", "i appreciate that", "i appreciate your help", "appreciated",
        "appreciate it",
    ),
    PhraseKind.GOODBYE: (
        "bye", "bye bye", "goodbye", "good bye", "good night", "see you", "see ya", "see you later", "see you soon",
        "cya", "farewell", "take care", "have a nice day", "have a good day", "have a great day",
        "have a nice weekend", "have a good one", "talk to you later", "ttyl", "later", "ciao", "that's all",
        "thats all", "that is all", "nothing else", "no more questions",
    ),
    PhraseKind.APPROVAL: (
        "ok", "okay", "okey", "k", "kk", "great", "perfect", "awesome", "cool", "nice", "super", "excellent",
        "brilliant", "fantastic", "wonderful", "amazing", "lovely", "good", "very good", "sounds good", "got it",
        "i got it", "understood", "i see", "alright", "all right", "all good", "fine", "well done", "good job",
        "good bot", "that worked", "it worked", "that works", "it works", "it works now", "works now", "works",
        "worked", "that helped", "it helped", "this helped", "helped", "that helps", "this helps", "that was helpful",
        "very helpful", "so helpful", "helpful", "that solved it", "solved", "that did it", "that did the trick",
        "that's it", "that's great", "that's perfect", "you're the best", "you are the best", "you're great",
        "you're awesome", "love it", "problem solved", "that fixed it", "fixed it", "fixed",
    ),
    PhraseKind.FILLER: (
        "there", "everyone", "all", "again", "bot", "team", "friend", "guys", "folks", "sir", "madam", "dear", "oh",
        "ah", "wow", "so much", "very much", "a lot", "for your help", "for the help", "for helping", "for helping me",
        "for the info", "for the information", "for your time", "for the quick reply", "for your answer",
        "for the answer", "for everything", "for that", "for now", "then", "and", "really", "you", "me", "it", "now",
        "just", "that", "this", "very", "so", "to you", "too", "well",
    ),
}  # fmt: skip

GERMAN: Mapping[PhraseKind, Sequence[str]] = {
    PhraseKind.GREETING: (
        "hallo", "hi", "hey", "hallöchen", "moin", "moin moin", "servus", "grüezi", "grüß gott", "grüss gott",
        "grüß dich", "grüß euch", "guten morgen", "guten tag", "guten abend", "schönen guten tag",
        "schönen guten morgen", "gudn", "tach", "guude", "mahlzeit", "wie geht's", "wie gehts", "wie geht es dir",
        "wie geht es ihnen", "na",
    ),
    PhraseKind.THANKS: (
        "danke", "danke schön", "dankeschön", "danke sehr", "vielen dank", "vielen lieben dank", "tausend dank",
        "besten dank", "herzlichen dank", "lieben dank", "merci", "dank dir", "ich danke dir", "ich danke ihnen",
        "danke dir", "danke ihnen", "danke euch", "thx", "thanks",
    ),
    PhraseKind.GOODBYE: (
        "tschüss", "tschüß", "tschüs", "tschau", "ciao", "auf wiedersehen", "wiedersehen", "bis bald", "bis dann",
        "bis später", "bis morgen", "bis zum nächsten mal", "gute nacht", "schönen tag noch", "schönen tag",
        "einen schönen tag", "einen schönen tag noch", "schönen abend noch", "schönen abend", "schönes wochenende",
        "ein schönes wochenende", "mach's gut", "machs gut", "ade", "servus", "das war's", "das wars", "das war alles",
        "keine weiteren fragen",
    ),
    PhraseKind.APPROVAL: (
        "ok", "okay", "okey", "oki", "super", "toll", "prima", "perfekt", "klasse", "spitze", "cool", "gut",
        "sehr gut", "alles klar", "alles gut", "verstanden", "verstehe", "ich verstehe", "wunderbar", "hervorragend",
        "großartig", "genial", "top", "passt", "das passt", "es klappt", "das klappt", "hat geklappt",
        "das hat geklappt", "es hat geklappt", "jetzt klappt es", "funktioniert", "es funktioniert",
        "das funktioniert", "jetzt funktioniert es", "hat funktioniert", "das hat funktioniert", "das hat geholfen",
        "hat geholfen", "das hat mir geholfen", "das hilft", "das hilft mir", "sehr hilfreich", "hilfreich",
        "das war hilfreich", "problem gelöst", "gelöst", "in ordnung", "geht jetzt", "es geht jetzt", "jetzt geht es",
        "das war's schon",
    ),
    PhraseKind.FILLER: (
        "zusammen", "alle", "alles", "nochmal", "nochmals", "noch mal", "bot", "team", "leute", "ihr", "liebe",
        "lieber", "oh", "ah", "so", "sehr", "für die hilfe", "für deine hilfe", "für ihre hilfe", "für eure hilfe",
        "für die info", "für die infos", "für die information", "für die antwort", "für die schnelle antwort",
        "für die schnelle hilfe", "für alles", "schon mal", "schonmal", "dann", "und", "wirklich", "jetzt", "noch",
        "mal", "dir auch", "ihnen auch", "euch auch", "ebenfalls", "gleichfalls", "ja", "na dann", "im voraus", "ganz",
    ),
}  # fmt: skip

PHRASES: Mapping[str, Mapping[PhraseKind, Sequence[str]]] = {"en": ENGLISH, "de": GERMAN}
"""The phrases of each language, by its code of ISO 639."""

EMOJI: Mapping[PhraseKind, str] = {
    PhraseKind.GREETING: "👋",
    PhraseKind.THANKS: "🙏💐",
    PhraseKind.APPROVAL: "👍👌🎉😀😃😄😁🙂😊😉😎🤩🥳🤗💯✅❤🧡💛💚💙💜👏🙌💪⭐",
}
"""What says the same in every language."""
