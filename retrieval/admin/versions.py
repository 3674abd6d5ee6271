"""Admin pages of document versions: compare them, roll back to one, and find the traces that used one."""

from collections import ChainMap
from typing import Any

from django.contrib import messages
from django.db.models import Case, OuterRef, QuerySet, Subquery, When
from django.db.models.functions import Substr
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.decorators import display

from common.admin.base import ReadOnlyAdmin, moment
from common.admin.html import admin_url, json_block, link, short, text_block
from common.admin.permissions import needs
from common.admin.site import register, render, reverse_admin
from common.errors import FabraError
from events.models import Event
from retrieval.admin.chunks import chunk_table
from retrieval.admin.title_search import search_titled
from retrieval.admin.version_usage import usage_needs, usage_of
from retrieval.indexing.diff import diff_texts, diff_values
from retrieval.models import Chunk, Document, DocumentVersion
from retrieval.reindex import roll_back

_ROLL_BACK = "retrieval.change_document"
_SHOWN_ROWS = 2_000
_BY_EVENT = "event "
_OFFERED = 200


@register(DocumentVersion)
class DocumentVersionAdmin(ReadOnlyAdmin):
    change_form_template = "admin/retrieval/documentversion/change_form.html"
    list_display = ("shown_title", "number", "of_document", "author", "came_by", moment("created_at"))
    list_filter = ("document__index", "created_at")
    list_select_related = ("document",)
    list_defer = ("text", "metadata", "document__text", "document__metadata")
    sortable_by = ()
    search_fields = ("title",)  # see get_search_results
    search_help_text = "Document id, or beginnings of the title's words"
    fieldsets = (
        (None, {"fields": (("of_document", "number"), "title", "shown_text", "shown_metadata")}),
        ("Where it is from", {"fields": (("author", "came_by", "created_at"), "content_hash")}),
        (None, {"fields": ("chunks", "uses")}),
    )
    readonly_fields = ("of_document", "shown_text", "shown_metadata", "chunks", "uses", "came_by")
    needs_permission = ChainMap({"chunks": "retrieval.view_chunk"}, usage_needs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DocumentVersion]:
        return with_event(super().get_queryset(request))

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        return search_titled(queryset, search_term, "document__entity_id")

    def get_urls(self) -> list[Any]:
        view, post = self.admin_site.admin_view, require_POST
        return [
            path("<int:pk>/compare/", view(self.compare), name="retrieval_documentversion_compare"),
            path("<int:pk>/roll-back/", view(post(self.roll_back)), name="retrieval_documentversion_roll_back"),
            *super().get_urls(),
        ]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        version = self.get_object(request, object_id) if object_id else None
        extra: dict[str, Any] = {**(extra_context or {})}
        if isinstance(version, DocumentVersion):
            extra |= _choices(request, version)
        return super().changeform_view(request, object_id, form_url, extra)

    @needs("view")
    def compare(self, request: HttpRequest, pk: int) -> HttpResponse:
        version = get_object_or_404(
            DocumentVersion.objects.select_related("document__index", "document__version"), pk=pk
        )
        others = DocumentVersion.objects.filter(document=version.document_id).exclude(pk=version.pk)
        chosen = request.GET.get("with", "")
        if chosen.isascii() and chosen.isdecimal():
            other = others.filter(pk=int(chosen[:18])).first()
        else:  # the previous version; for the first version the next one
            other = others.filter(number__lt=version.number).order_by("-number").first() or others.last()
        page = {"title": f"Changes of {version.document.entity_id}", "opts": self.opts, "original": version}
        page |= _choices(request, version) | _changes(version, other)
        return render(
            request, "admin/retrieval/documentversion/compare.html", self.admin_site.each_context(request) | page
        )

    @needs(_ROLL_BACK)
    def roll_back(self, request: HttpRequest, pk: int) -> HttpResponse:
        version = get_object_or_404(DocumentVersion.objects.select_related("document__index"), pk=pk)
        try:
            roll_back(version, author=request.user.get_username())
        except FabraError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, f"Rolled back to v{version.number}; it is being indexed.", messages.INFO)
        return HttpResponseRedirect(admin_url(Document, version.document_id))

    @display(description="title")
    def shown_title(self, version: DocumentVersion) -> str:
        return short(version.title, 70)

    @display(description="document")
    def of_document(self, version: DocumentVersion) -> str:
        return link(Document, version.document_id, version.document.entity_id)

    @display(description="came by")
    def came_by(self, version: DocumentVersion) -> str:
        return shown_source(version)

    @display(description="text")
    def shown_text(self, version: DocumentVersion) -> str:
        return text_block(version.text)

    @display(description="metadata")
    def shown_metadata(self, version: DocumentVersion) -> str:
        return json_block(version.metadata)

    @display(description="chunks")
    def chunks(self, version: DocumentVersion) -> str:
        return chunk_table(Chunk.objects.filter(version=version))

    @display(description="traces that used it")
    def uses(self, version: DocumentVersion) -> str:
        return usage_of(version)


def compare_link(version: DocumentVersion) -> str:
    """Return a link to the changes of the version."""
    url = reverse_admin("retrieval_documentversion_compare", version.pk)
    return format_html('<a class="fb-link" href="{}">Changes</a>', url)


def with_event(versions: QuerySet[DocumentVersion]) -> QuerySet[DocumentVersion]:
    """Add to each version the key of the event that it came by, or None, as `event_pk`."""
    event_id = Case(When(source__startswith=_BY_EVENT, then=Substr("source", len(_BY_EVENT) + 1)))
    event = Event.objects.filter(event_id=OuterRef("from_event_id")).values("pk")
    return versions.annotate(from_event_id=event_id, event_pk=Subquery(event))


def shown_source(version: Any) -> str:
    """Return how a version arrived; for an event, a link to it. The version is one of `with_event`."""
    return link(Event, version.event_pk, short(version.source, 50)) if version.event_pk else version.source


def _may_roll_back(request: HttpRequest) -> bool:
    return request.user.has_perm(_ROLL_BACK)


def _choices(request: HttpRequest, version: DocumentVersion) -> dict[str, Any]:
    """Return the context of the actions on a version."""
    others = DocumentVersion.objects.filter(document=version.document_id).exclude(pk=version.pk)
    document = version.document
    fields = ("title", "text", "metadata", "audience")
    is_current = all(getattr(document, name) == getattr(version, name) for name in fields)
    return {
        "others": list(others.only("number", "created_at", "author")[:_OFFERED]),
        "is_served": document.version_id == version.pk,
        "may_roll_back": _may_roll_back(request) and version.text and not (is_current and document.deleted_at is None),
    }


def _changes(version: DocumentVersion, other: DocumentVersion | None) -> dict[str, Any]:
    """Return the context of the differences between two versions, the older one first."""
    if other is None:
        return {}
    before, after = sorted((version, other), key=lambda compared: compared.number)
    rows = diff_texts(before.text, after.text)
    return {
        "other": other,
        "before": before,
        "after": after,
        "rows": rows[:_SHOWN_ROWS],
        "hidden": max(0, len(rows) - _SHOWN_ROWS),
        "added": sum(row.is_changed and row.after is not None for row in rows),
        "removed": sum(row.is_changed and row.before is not None for row in rows),
        "values": [
            (name, *(None if value is None else short(value, 500) for value in values))
            for name, *values in diff_values(_values_of(before), _values_of(after))
        ],
    }


def _values_of(version: DocumentVersion) -> dict[str, Any]:
    metadata = {f"metadata.{name}": value for name, value in version.metadata.items()}
    return {"title": version.title, "audience": version.audience, **metadata}
