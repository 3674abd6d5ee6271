"""The form of a bot: how it looks, what it says in each language, what it answers from, and whom its page offers."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.forms.models import ModelFormMetaclass
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from chat.admin.key_forms import CheckedLinesField
from chat.bots.demo_users import MOST_USERS, check_demo_user
from chat.bots.languages import offered_languages
from chat.bots.logo import Picture, check_logo
from chat.bots.suggestions import MOST_SUGGESTIONS
from chat.models import Bot
from chat.providers.configured import configured_models_now
from chat.turns.resolve_context import takes_index
from common.errors import InvalidInput, NotFound
from contexts.registry import contexts
from retrieval.models import Index

_STARTER_MAX_CHARS = 200

Choices = list[tuple[str, str]]
Names = Mapping[str, str] | None


def _check_starter(line: str) -> str:
    if len(line) > _STARTER_MAX_CHARS:
        raise InvalidInput(f"A question has at most {_STARTER_MAX_CHARS} characters: {line[:60]!r}…")
    return line


def text_fields(code: str) -> list[str]:
    """Return the names of the fields of a language."""
    return [f"greeting_{code}", f"introduction_{code}", f"starters_{code}"]


def _fields_of_language(code: str, language: str) -> dict[str, forms.Field]:
    greeting = forms.CharField(
        label=f"Greeting ({language})", max_length=120, required=False, widget=UnfoldAdminTextInputWidget,
        help_text="The first line of an empty conversation. Empty: “How can we help?”.",
    )  # fmt: skip
    introduction = forms.CharField(
        label=f"Introduction ({language})", max_length=400, required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="What stands below. Empty: that the answers show the passages that they rest on.",
    )  # fmt: skip
    starters = CheckedLinesField(
        _check_starter,
        is_prose=True,
        label=f"Suggested questions ({language})",
        help_text=f"One on a line, at most {MOST_SUGGESTIONS}. Empty: those of another language, or else "
        "FABRA_SUGGESTED_QUESTIONS or the golden questions of the index that have the tag suggested.",
    )
    return dict(zip(text_fields(code), (greeting, introduction, starters), strict=True))


_texts: dict[str, Any] = {}
for _code, _language in settings.LANGUAGES:
    _texts |= _fields_of_language(_code, str(_language))
TextsForm: Any = ModelFormMetaclass("TextsForm", (forms.ModelForm,), _texts)
"""The form's part that depends on the languages of the settings."""


class BotForm(TextsForm):
    logo_file = forms.FileField(
        label="Picture", required=False, widget=UnfoldAdminFileFieldWidget(attrs={"accept": "image/*"}),
        help_text="PNG, JPEG, WebP, GIF or SVG, best a square; at most 2 MB. It is also the icon of the browser's tab.",
    )  # fmt: skip
    removes_logo = forms.BooleanField(label="Remove the picture", required=False, widget=UnfoldBooleanSwitchWidget)
    language = forms.ChoiceField(
        required=False, widget=UnfoldAdminSelectWidget,
        help_text="Of the page, and of what it tells customers.",
    )  # fmt: skip
    context = forms.ChoiceField(
        required=False, widget=UnfoldAdminSelectWidget,
        help_text="What is assembled for a question. It says the instructions, and what is searched.",
    )  # fmt: skip
    index = forms.ChoiceField(
        required=False, widget=UnfoldAdminSelectWidget,
        help_text="What a context searches whose function has a parameter index, as those of the sample have.",
    )  # fmt: skip
    model = forms.ChoiceField(
        required=False, widget=UnfoldAdminSelectWidget,
        help_text="The language model that is asked first; the others follow if it fails.",
    )  # fmt: skip
    demo_users = CheckedLinesField(
        check_demo_user,
        label="Users to choose from",
        help_text="For whoever may chat as any user, one on a line: user_id | name | tier. Empty: the first customers.",
    )

    class Meta:
        model = Bot
        fields = (
            "name", "slug", "is_enabled", "accent", "accent_dark", "language", "context", "index", "model",
            "demo_users",
        )  # fmt: skip
        help_texts = {
            "accent": "Of buttons and links, as #0b6e69; too pale a one is made darker. Empty: the project's.",
            "accent_dark": "For readers whose system is dark. Empty: the same, made lighter.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        languages = dict(offered_languages(self.instance.texts))
        self.languages = list(languages)
        for code, _language in settings.LANGUAGES:
            texts = self.instance.texts.get(code, {})
            for name in text_fields(code):
                if code in languages:
                    self.fields[name].initial = texts.get(name.removesuffix(f"_{code}"))
                else:
                    self.fields.pop(name, None)
        for name in ("accent", "accent_dark"):
            if name in self.fields:
                self.fields[name].widget.attrs |= {"data-colour": "", "placeholder": "#rrggbb", "spellcheck": "false"}
        declared = {*contexts, settings.FABRA_CHAT_CONTEXT}
        models = [config.model for config in configured_models_now()]
        self._offer("context", f"That of the settings: {settings.FABRA_CHAT_CONTEXT}", sorted(declared))
        self._offer("language", "The reader's", list(languages), languages)
        self._offer("index", "The context's own", Index.objects.order_by("name").values_list("name", flat=True))
        self._offer("model", "The context's, or the first of all", dict.fromkeys(models))
        self.picture: Picture | None = None

    def _offer(self, name: str, empty: str, values: Iterable[str], names: Names = None) -> None:
        """Set the choices; what the row names stays one, also if it is gone."""
        if name not in self.fields:
            return
        known = list(values)
        present = getattr(self.instance, name)
        gone = [(present, f"{present} (gone)")] if present and present not in known else []
        self.fields[name].choices = [("", empty), *((value, (names or {}).get(value, value)) for value in known), *gone]

    def clean_logo_file(self) -> Any:
        given = self.cleaned_data["logo_file"]
        if given:
            try:
                self.picture = check_logo(given.read())
            except InvalidInput as error:
                raise forms.ValidationError(str(error)) from None
        return given

    def clean_demo_users(self) -> list[str]:
        lines: list[str] = self.cleaned_data["demo_users"]
        if len(lines) > MOST_USERS:
            raise forms.ValidationError(f"At most {MOST_USERS} lines.")
        return lines

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        for code in self.languages:
            if len(data.get(f"starters_{code}") or []) > MOST_SUGGESTIONS:
                self.add_error(f"starters_{code}", f"At most {MOST_SUGGESTIONS} questions.")
        context = data.get("context", "")
        if data.get("index") and not self._takes_index(context):
            text = "This context says itself what it searches: its function has no parameter “index”."
            self.add_error("index", text)
        return data

    @staticmethod
    def _takes_index(context: str) -> bool:
        try:
            return takes_index(context)
        except NotFound:
            return False

    def save(self, commit: bool = True) -> Bot:
        bot: Bot = super().save(commit=False)
        bot.texts = dict(bot.texts) | {code: self._texts_of(code) for code in self.languages}
        if self.picture:
            bot.set_logo(self.picture.content, self.picture.media_type)
        elif self.cleaned_data.get("removes_logo"):
            bot.set_logo(b"", "")
        if commit:
            bot.save()
        return bot

    def _texts_of(self, code: str) -> dict[str, Any]:
        given = {name.removesuffix(f"_{code}"): self.cleaned_data.get(name) for name in text_fields(code)}
        return {name: value for name, value in given.items() if value}
