"""Admin of the phrases: what customers and models say in a language, beside what comes with the bot."""

from typing import Any

from django import forms

from chat.admin.key_forms import CheckedLinesField
from chat.models import LanguagePhrases
from chat.models.phrases import PHRASE_MAX_CHARS
from common.admin.base import ListAdmin
from common.admin.site import register
from common.errors import InvalidInput
from common.phrases import words_of


def check_phrase(line: str) -> str:
    if len(line) > PHRASE_MAX_CHARS:
        raise InvalidInput(f"A phrase has at most {PHRASE_MAX_CHARS} characters: {line[:60]!r}…")
    if not words_of(line):
        raise InvalidInput(f"A phrase has a word: {line!r}")
    return line


def _lines(label: str, help_text: str) -> CheckedLinesField:
    return CheckedLinesField(check_phrase, is_prose=True, label=label, help_text=help_text)


class PhrasesForm(forms.ModelForm):  # type: ignore[type-arg]
    wishes = _lines(
        "Asks for a person",
        "One on a line. A sentence that is one of these asks for a person; one that ends in … need only be its "
        "beginning: “je voudrais parler à un conseiller…”. Greetings and words that say nothing may stand around it.",
    )
    greetings = _lines("Greets", "One on a line. A message that is made of these lists alone is small talk.")
    thanks = _lines("Thanks", "One on a line.")
    goodbyes = _lines("Says goodbye", "One on a line.")
    approvals = _lines("Approves", "One on a line, such as “d'accord”. After a question of the bot it is an answer.")
    fillers = _lines("Says nothing", "One on a line, such as “s'il vous plaît”: what stands beside the others.")
    not_known = _lines(
        "The model does not know",
        "One on a line. A sentence of a model with one of these in it says that it does not know: “nie wiem”.",
    )

    class Meta:
        model = LanguagePhrases
        fields = (
            "language", "wishes", "greetings", "greeting_reply", "thanks", "thanks_reply", "goodbyes", "goodbye_reply",
            "approvals", "approval_reply", "fillers", "not_known",
        )  # fmt: skip
        help_texts = {
            f"{kind}_reply": "Empty: the bot's own, in a language that its page has, or else in English."
            for kind in ("greeting", "thanks", "goodbye", "approval")
        }


@register(LanguagePhrases)
class LanguagePhrasesAdmin(ListAdmin):
    form = PhrasesForm
    list_display = ("language", "count")
    fieldsets = (
        (None, {"fields": ("language",)}),
        ("A person takes over", {"fields": ("wishes",)}),
        (
            "Small talk",
            {
                "fields": (
                    ("greetings", "greeting_reply"), ("thanks", "thanks_reply"), ("goodbyes", "goodbye_reply"),
                    ("approvals", "approval_reply"), "fillers",
                )
            },
        ),
        ("Answers", {"fields": ("not_known",)}),
    )  # fmt: skip

    @staticmethod
    def count(row: Any) -> int:
        lists = (row.wishes, row.greetings, row.thanks, row.goodbyes, row.approvals, row.fillers, row.not_known)
        return sum(map(len, lists))
