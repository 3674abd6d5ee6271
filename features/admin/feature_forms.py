"""Forms of a feature's pages: preview it for one entity, and backfill it."""

from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from common.admin.base import JsonTextField
from common.durations import parse_duration
from common.errors import FabraError
from common.validation import check_identity
from features.registry import FeatureSpec


class PastMomentField(forms.SplitDateTimeField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=UnfoldAdminSplitDateTimeWidget, **kwargs)

    def clean(self, value: Any) -> datetime | None:
        moment: datetime | None = super().clean(value)
        if moment is not None and moment > timezone.now():
            raise forms.ValidationError("This is in the future.")
        return moment


class PreviewForm(forms.Form):
    entity_key = forms.CharField(widget=UnfoldAdminTextInputWidget, strip=False)
    as_of = PastMomentField(required=False, help_text="The moment the value shall be true at, in UTC. Empty: now.")
    payload = JsonTextField(required=False, help_text="The payload of the event that it gets.")

    def __init__(self, spec: FeatureSpec, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spec = spec
        self.fields["entity_key"].label = spec.entity.key
        if not spec.takes_as_of:
            del self.fields["as_of"]
        if spec.takes_request:
            self.fields["payload"].label = "request"
            self.fields[
                "payload"
            ].help_text = 'What is known of the request, such as {"query": "Where is my invoice?"}.'
        elif not spec.is_pushed:
            del self.fields["payload"]
        elif spec.source:
            self.fields["payload"].help_text = "What the token says under the feature's name."

    def clean_entity_key(self) -> str:
        return _checked(self.cleaned_data["entity_key"], self.spec)


class BackfillForm(forms.Form):
    start = PastMomentField(help_text="In UTC.")
    end = PastMomentField(help_text="Included. At most now.")
    every = forms.CharField(
        widget=UnfoldAdminTextInputWidget, help_text="The time between two moments, such as 1h, 1d or 1h30m."
    )
    entity_keys = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4, "class": "fb-mono"}),
        help_text="One on a line. Empty: all known entities.",
    )

    def __init__(self, spec: FeatureSpec, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spec = spec
        self.fields["entity_keys"].label = f"{spec.entity.key}s"

    def clean_every(self) -> str:
        text: str = self.cleaned_data["every"]
        try:
            parse_duration(text, "every")
        except FabraError as error:
            raise forms.ValidationError(str(error)) from None
        return text

    def clean_entity_keys(self) -> list[str] | None:
        keys = [line.strip() for line in self.cleaned_data["entity_keys"].splitlines() if line.strip()]
        return [_checked(key, self.spec) for key in keys] or None


def _checked(key: str, spec: FeatureSpec) -> str:
    try:
        return check_identity(key, spec.entity.key)
    except FabraError as error:
        raise forms.ValidationError(str(error)) from None
