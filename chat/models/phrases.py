"""What an operator adds to what the bot understands without a search or a model, for a language."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models

PHRASE_MAX_CHARS = 100

_code = RegexValidator(r"\A[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*\Z", message="Write a language by its code, as fr or pt-br.")


def _list_of(label: str) -> ArrayField:  # type: ignore[type-arg]
    return ArrayField(models.CharField(max_length=PHRASE_MAX_CHARS), verbose_name=label, default=list, blank=True)


class LanguagePhrases(models.Model):
    """The phrases of a language, beside those that come with the bot; in every list, one is a few words."""

    language = models.CharField(
        max_length=20, unique=True, validators=[_code], help_text="By its code, as fr or pt-br."
    )
    wishes = _list_of("asks for a person")
    greetings = _list_of("greets")
    thanks = _list_of("thanks")
    goodbyes = _list_of("says goodbye")
    approvals = _list_of("approves")
    fillers = _list_of("says nothing")
    not_known = _list_of("does not know")
    greeting_reply = models.CharField("reply to a greeting", max_length=300, blank=True)
    thanks_reply = models.CharField("reply to thanks", max_length=300, blank=True)
    goodbye_reply = models.CharField("reply to a goodbye", max_length=300, blank=True)
    approval_reply = models.CharField("reply to an approval", max_length=300, blank=True)

    class Meta:
        ordering = ("language",)
        verbose_name = verbose_name_plural = "phrases of a language"

    def __str__(self) -> str:
        return self.language
