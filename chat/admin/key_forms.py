"""The forms of an API key: what it may do, what it is bound to, its limits, and its rotation."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
)

from chat.access.key_rules import check_context_name, problems_of
from chat.access.origins import check_origin
from chat.access.permissions import SCOPES
from chat.models import ApiKey, Bot
from common.client_address import parse_network
from common.errors import FabraError
from common.validation import check_identity
from retrieval.indexing.document_input import check_index_name

_MOST_LINES = 100
_LEAST_USD = Decimal("0.0001")


class CheckedLinesField(forms.CharField):
    """A list with one entry on a line; each is checked, and normalised, by a function."""

    def __init__(
        self, check: Callable[[str], str], *, help_text: str, label: str | None = None, is_prose: bool = False
    ) -> None:
        of_code = {} if is_prose else {"class": "fb-mono", "spellcheck": "false"}
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 3, **of_code})
        super().__init__(required=False, widget=widget, help_text=help_text, label=label)
        self.check = check

    def to_python(self, value: Any) -> Any:
        lines = [line for line in (super().to_python(value) or "").splitlines() if line.strip()]
        if len(lines) > _MOST_LINES:
            raise forms.ValidationError(f"At most {_MOST_LINES} lines.")
        try:
            return list(dict.fromkeys(self.check(line.strip()) for line in lines))
        except (FabraError, ValueError) as error:
            raise forms.ValidationError(f"{error}") from None

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def run_validators(self, value: Any) -> None:
        """Run no validators: they are for text."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data or "") != (initial or []))
        except forms.ValidationError:
            return True


def _budget(label: str) -> forms.DecimalField:
    return forms.DecimalField(
        label=label, required=False, min_value=_LEAST_USD, max_digits=12, decimal_places=4,
        widget=UnfoldAdminDecimalFieldWidget, help_text="In US dollars, of what models cost. Empty: no budget.",
    )  # fmt: skip


class KeyBoundsForm(forms.ModelForm):  # type: ignore[type-arg]
    """What may be changed of a key: everything but what it is and may do."""

    indexes = CheckedLinesField(
        lambda name: check_index_name(name, "An index"),
        help_text="The only indexes that it reads and writes, one on a line. Empty: all.",
    )
    contexts = CheckedLinesField(
        check_context_name,
        help_text="The only contexts that it chats by, one on a line; the first is the default. Empty: all,"
        " or for a public key its bot's.",
    )
    users = CheckedLinesField(
        lambda name: check_identity(name, "A user"),
        help_text="The only users that it acts for, by user_id, one on a line. Empty: all.",
    )
    networks = CheckedLinesField(
        lambda text: str(parse_network(text)),
        label="Addresses",
        help_text="The only addresses that it is used from, one on a line, such as 192.0.2.7 or 2001:db8::/32."
        " Empty: all.",
    )
    origins = CheckedLinesField(
        check_origin,
        help_text="The sites whose pages may use a public key, one on a line, such as https://www.example.com.",
    )
    bot = forms.ChoiceField(
        required=False, widget=UnfoldAdminSelectWidget,
        help_text="The only bot that it chats with; a public key's pages show it. Any: a public key has the default.",
    )  # fmt: skip
    daily_budget_usd = _budget("Budget a day")
    monthly_budget_usd = _budget("Budget a month")

    class Meta:
        model = ApiKey
        fields: tuple[str, ...] = (
            "name", "expires_at", "indexes", "contexts", "users", "networks", "origins", "bot", "per_minute", "per_day",
            "daily_budget_usd", "monthly_budget_usd",
        )  # fmt: skip
        labels = {"per_minute": "Requests a minute", "per_day": "Requests a day"}
        help_texts = dict.fromkeys(
            ("per_minute", "per_day"), "Empty: no limit of its own. A public key needs one of the two."
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "bot" in self.fields:
            self.fields["bot"].choices = self._bots()  # type: ignore[attr-defined]

    def _bots(self) -> list[tuple[str, str]]:
        found = [(bot.slug, str(bot)) for bot in Bot.objects.without_logo()]
        present = self.instance.bot
        gone = [(present, f"{present} (gone)")] if present and present not in dict(found) else []
        return [("", "Any"), *found, *gone]

    maker: Any = None
    """The user who makes or changes the key; set by the admin page."""

    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise forms.ValidationError("That is in the past.")
        return expires_at

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        kind = data.get("kind", self.instance.kind)
        scopes = data.get("scopes", self.instance.scopes)
        if "origins" in data and scopes:  # else a field is wrong in itself
            # A limit that is wrong in itself has an error of its own.
            has_limit = bool(
                data.get("per_minute") or data.get("per_day") or {"per_minute", "per_day"} & set(self.errors)
            )
            contexts, bot = data.get("contexts") or [], data.get("bot") or ""
            problems = problems_of(kind, scopes, data["origins"], has_limit=has_limit, contexts=contexts, bot=bot)
            for name, problem in problems.items():
                self.add_error(name if name in self.fields else None, problem)
        return data


class ApiKeyForm(KeyBoundsForm):
    """A new key."""

    kind = forms.ChoiceField(
        choices=ApiKey.Kind.choices, initial=ApiKey.Kind.SECRET, widget=UnfoldAdminRadioSelectWidget, required=False,
        help_text="A secret key never leaves your servers. A public one stands in the pages of its origins, and chats.",
    )  # fmt: skip
    scopes = forms.MultipleChoiceField(
        choices=ApiKey.Scope.choices,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="chat: POST /chat. search: search and read documents, also by MCP. ingest: search, documents, events."
        " debug: the debug endpoint, traces, feature values. desk: answer conversations for people, from another desk."
        " A key can do no more than the user who makes it.",
    )

    class Meta(KeyBoundsForm.Meta):
        fields = ("name", "kind", "scopes", *KeyBoundsForm.Meta.fields[1:])

    def clean_kind(self) -> str:
        return self.cleaned_data["kind"] or ApiKey.Kind.SECRET

    def clean_scopes(self) -> list[str]:
        scopes: list[str] = self.cleaned_data["scopes"]
        for scope in scopes:
            if self.maker is not None and not any(self.maker.has_perm(name) for name in SCOPES[scope]):
                raise forms.ValidationError(f"You have none of the permissions that the scope {scope} stands for.")
        return sorted(scopes)


class RotationForm(forms.Form):
    """How long the present secret goes on working."""

    overlap = forms.ChoiceField(
        choices=[("0", "Not at all: it ends now"), ("1", "1 hour"), ("24", "1 day"), ("168", "7 days"),
                 ("720", "30 days")],
        initial="168", label="The present secret works for", widget=UnfoldAdminSelectWidget,
        help_text="Until then both work, so that each program can be given the new one in its turn.",
    )  # fmt: skip

    def overlap_of(self) -> timedelta:
        return timedelta(hours=int(self.cleaned_data["overlap"]))
