"""Pages of one feature: preview it for an entity, and backfill it over a range of time."""

import re
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action

from common.admin.base import ListAdmin
from common.admin.html import admin_url, duration, link, pretty
from common.admin.site import render
from common.errors import FabraError
from features import registry
from features.admin.charts import history_drawing
from features.admin.feature_forms import BackfillForm, PreviewForm
from features.dispatch import enqueue_run
from features.freshness import freshness
from features.materialization.requests import request_run
from features.models import FeatureDefinition, FeatureValue, MaterializationRun
from features.preview import Preview, preview_feature
from features.registry import FeatureSpec


class FeaturePages(ListAdmin):
    actions_detail = ("try_it", "materialize_this", "backfill")

    @action(description="Try it", permissions=["materialize"], url_path="try", icon="science")
    def try_it(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Run the function for one entity and show the result, without storing anything."""
        row = self.found(object_id)
        spec = self._spec(row)
        form = PreviewForm(spec, request.POST or None)
        result = None
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            preview = preview_feature(spec, data["entity_key"], as_of=data.get("as_of"), payload=data.get("payload"))
            result = _shown(row, spec, data["entity_key"], preview)
        page = {
            "title": f"Try {row.name}",
            "intro": "The function is called now, for one entity. Its result is shown and not stored.",
            "submit": "Run it",
            "result": result,
        }
        return self._page(request, row, form, page, "admin/features/try.html")

    @action(description="Backfill", permissions=["materialize"], url_path="backfill", icon="history")
    def backfill(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Start a run that computes the values of a range of past time."""
        row = self.found(object_id)
        spec = self._spec(row)
        if spec.on_demand:
            text = f"{row.name} is computed at each read and never stored: there is nothing to backfill."
            self.message_user(request, text, messages.WARNING)
            return HttpResponseRedirect(self.url_of(object_id))
        if not spec.takes_as_of:
            keys = "rows" if spec.queryset else f"{spec.entity.key}{'s' if spec.is_batch else ''}"
            example = f"{spec.function.__name__}({keys}, as_of)"
            self.message_user(
                request,
                f"{row.name} cannot be computed as of a past time: declare its function as {example}.",
                messages.WARNING,
            )
            return HttpResponseRedirect(self.url_of(object_id))
        now = timezone.now().replace(minute=0, second=0, microsecond=0)
        initial = {"start": now - timedelta(days=7), "end": now, "every": "1d"}
        form = BackfillForm(spec, request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            try:
                run = request_run(row.name, data["entity_keys"], data["start"], data["end"], data["every"])
            except FabraError as error:
                form.add_error(None, str(error))
            else:
                self.start(request, run)
                return HttpResponseRedirect(admin_url(MaterializationRun, run.pk))
        page = {
            "title": f"Backfill {row.name}",
            "intro": "Its values are computed as of each moment of the range and stored as true then, learned now.",
            "submit": "Start",
        }
        return self._page(request, row, form, page, "admin/form_page.html")

    def start(self, request: HttpRequest, run: MaterializationRun) -> None:
        """Enqueue a run, and show a message about it."""
        if enqueue_run(run.pk):
            self.message_user(
                request, format_html("Started: {}.", link(MaterializationRun, run.pk, run)), messages.SUCCESS
            )
        else:
            text = f"The broker does not answer: the run {run} is queued, and starts when it is back."
            self.message_user(request, text, messages.ERROR)

    def found(self, object_id: Any) -> FeatureDefinition:
        if not re.fullmatch(r"[0-9]{1,18}", str(object_id)):
            raise Http404
        return get_object_or_404(FeatureDefinition, pk=object_id)

    def url_of(self, object_id: Any) -> str:
        return admin_url(FeatureDefinition, object_id)

    def _spec(self, row: FeatureDefinition) -> FeatureSpec:
        spec = registry.features.get(row.name)
        if spec is None:
            raise Http404(f"No code declares {row.name}.")
        return spec

    def _page(self, request: HttpRequest, row: FeatureDefinition, form: Any, page: Any, template: str) -> HttpResponse:
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "original": row, "form": form}
        return render(request, template, shared | {"media": self.media + form.media} | page)


def _shown(row: FeatureDefinition, spec: FeatureSpec, entity_key: str, preview: Preview) -> dict[str, Any]:
    """Return the template's context: the preview, and the stored values of the same entity."""
    history = FeatureValue.objects.all().histories(spec.entity.name, [entity_key], spec.name)[entity_key]
    stored = history[-1] if history else None
    now = timezone.now()
    return {
        "preview": preview,
        "took": duration(preview.duration_ms / 1000),
        "value": pretty(preview.value),
        "stored": stored,
        "stored_value": pretty(stored.value) if stored else "",
        "is_same": stored is not None and not preview.error and stored.value == preview.value,
        "state": freshness(stored.event_timestamp, spec.limits.overridden(row.refresh_override), now).value
        if stored
        else "",
        "age": duration(now - stored.event_timestamp) if stored else "",
        "history": history_drawing(history) if len(history) > 1 else "",
    }
