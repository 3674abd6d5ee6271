"""The form of a new API key: what it may do, what it is bound to, and its limits."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextareaWidget

from chat.access.permissions import SCOPES
from chat.models import ApiKey
from common.client_address import parse_network
from common.errors import FabraError
from common.validation import check_identity
from retrieval.indexing.document_input import check_index_name

_MOST_LINES = 100


class LinesField(forms.CharField):
    """A list with one entry on a line; each is checked, and normalised, by a function."""

    def __init__(self, check: Callable[[str], str], *, help_text: str) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 3, "class": "fb-mono", "spellcheck": "false"})
        super().__init__(required=False, widget=widget, help_text=help_text)
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


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(
        choices=ApiKey.Scope.choices,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="chat: POST /chat. ingest: documents, events, search. debug: the debug endpoint, feature values."
        " A key can do no more than the user who makes it.",
    )
    indexes = LinesField(
        lambda name: check_index_name(name, "An index"),
        help_text="The only indexes that it reads and writes, one on a line. Empty: all.",
    )
    users = LinesField(
        lambda name: check_identity(name, "A user"),
        help_text="The only users that it acts for, by user_id, one on a line. Empty: all.",
    )
    networks = LinesField(
        lambda text: str(parse_network(text)),
        help_text="The only addresses that it is used from, one on a line, such as 192.0.2.7 or 2001:db8::/32."
        " Empty: all.",
    )

    class Meta:
        model = ApiKey
        fields = ("name", "scopes", "expires_at", "indexes", "users", "networks", "per_minute", "per_day")
        labels = {"per_minute": "Requests a minute", "per_day": "Requests a day"}
        help_texts = dict.fromkeys(("per_minute", "per_day"), "Empty: no limit of its own.")

    maker: Any = None
    """The user who makes the key; set by the admin page."""

    def clean_scopes(self) -> list[str]:
        scopes: list[str] = self.cleaned_data["scopes"]
        for scope in scopes:
            if self.maker is not None and not any(self.maker.has_perm(name) for name in SCOPES[scope]):
                raise forms.ValidationError(f"You have none of the permissions that the scope {scope} stands for.")
        return sorted(scopes)

    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise forms.ValidationError("That is in the past.")
        return expires_at
