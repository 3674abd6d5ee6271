"""Admin of the handover to people: one row of settings, with the support hours and the days without them."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.forms.models import ModelFormMetaclass
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from chat.access.colleagues import colleagues
from chat.bots.languages import offered_languages
from chat.models import ClosedDay, HandoverSettings, SupportHours
from common.admin.base import ListAdmin
from common.admin.html import badge
from common.admin.site import register

_TEXT_MAX_CHARS = 500


def _text_field(code: str) -> str:
    return f"text_{code}"


_texts: dict[str, Any] = {
    _text_field(code): forms.CharField(
        label=f"How support is reached ({language})", max_length=_TEXT_MAX_CHARS, required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="What the bot says where nobody can be asked for, as: Write to help@example.com.",
    )
    for code, language in settings.LANGUAGES
}  # fmt: skip
_TextsForm: Any = ModelFormMetaclass("_TextsForm", (forms.ModelForm,), _texts)
"""The form's part that depends on the languages of the settings."""


class HandoverForm(_TextsForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.languages = list(dict(offered_languages(self.instance.texts)))
        for code, _language in settings.LANGUAGES:
            if code not in self.languages:
                self.fields.pop(_text_field(code), None)
            elif _text_field(code) in self.fields:
                self.fields[_text_field(code)].initial = self.instance.texts.get(code, "")

    def save(self, commit: bool = True) -> HandoverSettings:
        row: HandoverSettings = super().save(commit=False)
        given = {code: self.cleaned_data.get(_text_field(code), "") for code in self.languages}
        row.texts = dict(row.texts) | given
        if commit:
            row.save()
        return row


class SupportHoursInline(TabularInline):
    model = SupportHours
    extra = 0
    fields = ("weekday", "opens", "closes")


class ClosedDayInline(TabularInline):
    model = ClosedDay
    extra = 0
    fields = ("day", "name")


@register(HandoverSettings)
class HandoverSettingsAdmin(ListAdmin):
    form = HandoverForm
    list_display = ("__str__", "state", "time_zone", "wait_told_after_min", "unanswered_after_min", "close_after_days")
    inlines = (SupportHoursInline, ClosedDayInline)

    def get_fieldsets(self, request: HttpRequest, obj: HandoverSettings | None = None) -> Any:
        languages = dict(offered_languages(obj.texts if obj else {}))
        asked = ("is_enabled", ("on_thumbs_down", "on_not_known_twice"), *map(_text_field, languages))
        return (
            ("When a person is asked for", {"fields": asked}),
            ("How long it takes", {"fields": ("wait_told_after_min", "unanswered_after_min", "close_after_days")}),
            ("When somebody is there", {"fields": ("time_zone",)}),
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # `migrate` makes the one row

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.method == "GET" and HandoverSettings.load().is_enabled and not colleagues():
            text = "Customers can ask for a person, and no active account may answer: see the group Support agent."
            self.message_user(request, text, messages.WARNING)
        return super().changeform_view(request, *args, **kwargs)

    @display(description="people")
    def state(self, row: HandoverSettings) -> str:
        return badge("can be asked for", "good") if row.is_enabled else badge("switched off", "plain")
