"""Admin pages of model sources: what is declared, how its documents compare with it, and what could not be read."""

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action, display

from common.admin.base import DefinitionAdmin, moment, state_of
from common.admin.html import badge, bar, code, duration, list_link, one_line, table
from common.admin.site import register
from retrieval.dispatch import enqueue_model_sync
from retrieval.model_sources.links import admin_url
from retrieval.models import Document, ModelSource

_SHOWN_ERRORS = 100


@register(ModelSource)
class ModelSourceAdmin(DefinitionAdmin):
    list_display = (
        "name", "shown_state", "shown_progress", "documents", "errors", "differences", moment("finished_at"),
    )  # fmt: skip
    list_filter = (*DefinitionAdmin.list_filter, "index")
    readonly_fields = (
        "shown_progress", "differences", "took", "shown_errors", "shown_warnings", "shown_documents", "withdrawal",
    )  # fmt: skip
    needs_permission = {"shown_documents": "retrieval.view_document"}
    actions = ("compare",)

    def get_fieldsets(self, request: HttpRequest, obj: ModelSource | None = None) -> Any:
        where = ("location", *(("gone_at",) if obj and obj.gone_at else ()))
        is_over = ("withdrawal",) if obj and (obj.gone_at or not obj.is_enabled) else ()
        compared = [("shown_progress", "differences"), ("started_at", "finished_at", "took")]
        compared += [(name,) for name in ("error", "warning") if obj and getattr(obj, name)]
        declared = (("name", "is_enabled"), "description", ("model", "index", "format"), where)
        fieldsets = (
            (None, {"fields": declared}),
            ("Comparison with the documents", {"fields": compared}),
            (None, {"fields": ("shown_errors", "shown_warnings", "shown_documents", *is_over)}),
        )
        return self.permitted(request, fieldsets)

    def get_queryset(self, request: HttpRequest) -> Any:
        is_document, is_wrong = ~Q(sourced__content_hash=""), ~Q(sourced__error="")
        return (
            super()
            .get_queryset(request)
            .annotate(
                document_count=Count("sourced", filter=is_document & Q(sourced__isnull=False)),
                error_count=Count("sourced", filter=is_wrong & Q(sourced__isnull=False)),
            )
        )

    @action(description="Compare with the documents now", permissions=["change"])
    def compare(self, request: HttpRequest, rows: QuerySet[ModelSource]) -> None:
        self._compare(request, list(ModelSource.objects.active().filter(pk__in=rows.values("pk"))))

    def save_model(self, request: HttpRequest, obj: ModelSource, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "is_enabled" in form.changed_data and obj.is_enabled and obj.gone_at is None:
            transaction.on_commit(lambda: self._compare(request, [obj]))

    def _compare(self, request: HttpRequest, sources: list[ModelSource]) -> None:
        names = [source.name for source in sources]
        ModelSource.objects.filter(name__in=names).update(requested_at=timezone.now())
        if all(enqueue_model_sync(name) for name in names):
            self.message_user(request, f"{len(names)} being compared.", messages.SUCCESS if names else messages.WARNING)
        else:
            self.message_user(request, "The broker does not answer: they start when it is back.", messages.ERROR)

    @display(description="state")
    def shown_state(self, row: ModelSource) -> str:
        return badge("failed", label="error") if row.error and state_of(row) == "enabled" else badge(state_of(row))

    @display(description="progress")
    def shown_progress(self, row: ModelSource) -> str:
        if row.started_at is None:
            return badge("queued", label="not compared yet")
        if not row.is_running:
            return one_line(f"{row.compared:,} compared")
        return bar(row.compared, row.total, f"{row.get_phase_display()} {row.compared:,} of {row.total:,}")

    @display(description="documents", ordering="document_count")
    def documents(self, row: ModelSource) -> str:
        return f"{row.document_count:,}"  # type: ignore[attr-defined]

    @display(description="errors", ordering="error_count")
    def errors(self, row: ModelSource) -> str:
        count = row.error_count  # type: ignore[attr-defined]
        return badge("failed", label=f"{count:,}") if count else "–"

    @display(description="found by the last comparison")
    def differences(self, row: ModelSource) -> str:
        if row.started_at is None:
            return "–"
        parts = ((row.changed, "indexed"), (row.withdrawn, "withdrawn"), (row.failed, "failed"))
        found = ", ".join(f"{count:,} {what}" for count, what in parts if count)
        return one_line(found or ("–" if row.error else "no difference"))

    @display(description="took")
    def took(self, row: ModelSource) -> str:
        end = row.worked_at if row.is_running else row.finished_at
        return duration(end - row.started_at if end and row.started_at else None)

    @display(description="objects that could not be read or indexed")
    def shown_errors(self, row: ModelSource) -> str:
        failed = row.sourced.exclude(error="").order_by("-updated_at")[:_SHOWN_ERRORS]
        ids = [f"{row.model}:{failure.object_pk}" for failure in failed]
        documents = Document.objects.live().filter(index__name=row.index, entity_id__in=ids).exclude(version=None)
        served = set(documents.values_list("entity_id", flat=True))
        rows = [
            (
                _object(row.model, failure.object_pk), failure.error,
                badge("as it was", "warn") if entity_id in served else badge("none", "bad"),
                one_line(f"{failure.updated_at:%Y-%m-%d %H:%M:%S}"),
            )
            for entity_id, failure in zip(ids, failed, strict=True)
        ]  # fmt: skip
        return table(["Object", "Reason", "Its document", "Since (UTC)"], rows, "None.")

    @display(description="objects that were not read in full")
    def shown_warnings(self, row: ModelSource) -> str:
        warned = row.sourced.exclude(warnings=[]).order_by("pk")[:_SHOWN_ERRORS]
        rows = [
            (_object(row.model, source.object_pk), " ".join(warning["message"] for warning in source.warnings))
            for source in warned
        ]
        return table(["Object", "What was left out or guessed"], rows, "None.")

    @display(description="to delete its documents")
    def withdrawal(self, row: ModelSource) -> str:
        return code(f'manage.py sync_models --withdraw "{row.name}"')

    @display(description="its documents")
    def shown_documents(self, row: ModelSource) -> str:
        return list_link(Document, "All of them", q=f"{row.model}:")


def _object(label: str, pk: str) -> str:
    url = admin_url(label, pk)
    return format_html('<a class="fb-link" href="{}">{}</a>', url, pk) if url else code(pk)
