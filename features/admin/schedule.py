"""Admin pages of the beat schedule: a feature's entry follows its definition; other entries are the operator's."""

import json
from typing import Any

from celery import current_app
from django import forms
from django.http import HttpRequest
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget

from common.admin.base import ListAdmin
from common.admin.html import badge
from common.admin.site import register, site
from features.materialization.schedule import MATERIALIZE_TASK

for model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    if site.is_registered(model):
        site.unregister(model)


def known_tasks() -> list[tuple[str, str]]:
    current_app.loader.import_default_modules()
    return [(name, name) for name in sorted(current_app.tasks) if not name.startswith("celery.")]


class EntryForm(forms.ModelForm):  # type: ignore[type-arg]
    task = forms.ChoiceField(choices=known_tasks, widget=UnfoldAdminSelectWidget)

    class Meta:
        model = PeriodicTask
        fields = (
            "name",
            "task",
            "enabled",
            "description",
            "interval",
            "crontab",
            "args",
            "kwargs",
            "expire_seconds",
            "queue",
        )

    def clean_args(self) -> str:
        return self._json("args", list, "a list, such as []")

    def clean_kwargs(self) -> str:
        return self._json("kwargs", dict, "an object, such as {}")

    def _json(self, name: str, kind: type, wanted: str) -> str:
        text: str = self.cleaned_data[name]
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, kind):
            raise forms.ValidationError(f"This must be {wanted}, in JSON.")
        return text


@register(PeriodicTask)
class PeriodicTaskAdmin(ListAdmin):
    form = EntryForm
    list_display = ("name", "shown_state", "task", "schedule_of", "last_run_at", "total_run_count")
    list_filter = ("enabled", "one_off")
    list_select_related = ("interval", "crontab", "solar", "clocked")
    search_fields = ("name", "task")
    actions = ("enable", "disable")
    readonly_fields = ("last_run_at", "total_run_count", "date_changed")
    fieldsets = (
        (None, {"fields": ("name", "task", "enabled", "description")}),
        ("Schedule", {"fields": ("interval", "crontab")}),
        ("Arguments", {"fields": ("args", "kwargs")}),
        ("Execution", {"fields": ("expire_seconds", "queue", ("last_run_at", "total_run_count", "date_changed"))}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: PeriodicTask | None = None) -> tuple[str, ...]:
        if obj is not None and obj.task == MATERIALIZE_TASK:
            # Only its interval and its switch can be edited, which also changes the feature; the rest is derived.
            return (*self.readonly_fields, "name", "task", "crontab", "args", "kwargs")
        return self.readonly_fields

    @display(description="state")
    def shown_state(self, entry: PeriodicTask) -> str:
        return badge("enabled" if entry.enabled else "disabled")

    @display(description="schedule")
    def schedule_of(self, entry: PeriodicTask) -> str:
        return str(entry.interval or entry.crontab or entry.solar or entry.clocked or "–")

    @action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, rows: Any) -> None:
        self._switch(request, rows, True)

    @action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, rows: Any) -> None:
        self._switch(request, rows, False)

    def _switch(self, request: HttpRequest, rows: Any, is_on: bool) -> None:
        for entry in rows:
            entry.enabled = is_on
            entry.save()  # one by one, since the signal of a save updates the feature's definition
        self.message_user(request, f"{len(rows)} {'enabled' if is_on else 'disabled'}.")


@register(IntervalSchedule)
class IntervalScheduleAdmin(ListAdmin):
    list_display = ("__str__", "every", "period")


@register(CrontabSchedule)
class CrontabScheduleAdmin(ListAdmin):
    list_display = ("__str__", "human_readable", "timezone")
