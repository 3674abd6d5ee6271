"""Admin pages of documents: what is saved here is indexed by a worker."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from unfold.decorators import action, display

from common.admin.base import ListAdmin, moment
from common.admin.html import badge, code, link, one_line, short, table
from common.admin.site import register, render
from retrieval.admin.chunks import chunk_table
from retrieval.admin.forms import DocumentForm
from retrieval.admin.title_search import search_titled
from retrieval.admin.versions import compare_link, shown_source, with_event
from retrieval.errors import DocumentNotFound
from retrieval.indexing.documents import delete_document
from retrieval.indexing.purge import purge_document
from retrieval.model_sources.links import admin_url, source_of
from retrieval.models import Chunk, Document, DocumentVersion, Index
from retrieval.reindex import reindex_all

_SHOWN_ROWS = 100
_EDITED = ("title", "text", "metadata", "audience", "deleted_at", "updated_at")


class LiveFilter(admin.SimpleListFilter):
    """Hide deleted documents unless the filter includes them."""

    title = "deletion"
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Deleted"), ("all", "All")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        choices = super().choices(changelist)
        yield {**next(choices), "display": "Not deleted"}
        yield from choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Document]) -> QuerySet[Document]:
        if self.value() == "all":
            return queryset
        return queryset.exclude(deleted_at=None) if self.value() == "yes" else queryset.filter(deleted_at=None)


@register(Document)
class DocumentAdmin(ListAdmin):
    form = DocumentForm
    list_display = ("shown_title", "entity_id", "index", "shown_state", "served", moment("updated_at"), "shown_error")
    list_filter = (LiveFilter, "state", "index", "updated_at")
    list_select_related = ("index", "version")
    list_defer = ("text", "metadata", "version__text", "version__metadata", "version__title")
    ordering = ("-updated_at",)
    sortable_by = ("updated_at",)
    search_fields = ("title",)  # see get_search_results
    search_help_text = "Id, or beginnings of the title's words"
    actions = ("reindex", "purge")
    needs_permission = {"chunks": "retrieval.view_chunk", "versions": "retrieval.view_documentversion"}
    readonly_fields = (
        "made_of",
        "shown_state",
        "error",
        "served",
        "occurred_at",
        "indexed_at",
        "updated_at",
        "purged_at",
        "versions",
        "chunks",
    )

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        return search_titled(queryset, search_term, "entity_id")

    def get_fieldsets(self, request: HttpRequest, obj: Document | None = None) -> Any:
        written = (None, {"fields": (("index", "entity_id"), "title", "text", "metadata", "audience")})
        if obj is None:
            return (written,)
        state = (
            ("shown_state", "served", "indexed_at"),
            *((("error",),) if obj.error else ()),
            *((("made_of",),) if source_of(obj.index.name, obj.entity_id) else ()),
            ("updated_at", "occurred_at", *(("purged_at",) if obj.purged_at else ())),
        )
        shown = (("State", {"fields": state}), written, (None, {"fields": ("chunks", "versions")}))
        return self.permitted(request, shown)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        default = Index.objects.filter(name=settings.FABRA_DEFAULT_INDEX).first()
        return {"index": default, **super().get_changeform_initial_data(request)}

    def get_readonly_fields(self, request: HttpRequest, obj: Document | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, "index", "entity_id") if obj else self.readonly_fields

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_deleted = isinstance(obj, Document) and obj.deleted_at is not None
        return not is_deleted and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_deleted = isinstance(obj, Document) and obj.deleted_at is not None
        return not is_deleted and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Document, form: DocumentForm, change: bool) -> None:
        obj.saved_by = request.user.get_username()
        if obj.pk is None:
            obj.save()
        else:
            # A worker may be indexing the document, so the columns that it writes are not saved.
            obj.deleted_at = None
            obj.save(update_fields=_EDITED)
        self.message_user(request, "Saved; it is being indexed.", messages.INFO)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        chunks = Chunk.objects.filter(document__in=list(objs)).count()
        counts = {"documents": len(objs), "chunks": chunks}
        return (
            [f"{document} ({document.index}: {document.entity_id}); its versions stay" for document in objs],
            counts,
            set(),
            [],
        )

    def delete_model(self, request: HttpRequest, obj: Document) -> None:
        with suppress(DocumentNotFound):  # it was deleted meanwhile
            delete_document(obj.index.name, obj.entity_id)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Document]) -> None:
        for document in queryset.select_related("index"):
            self.delete_model(request, document)

    @action(description="Re-index", permissions=["change"])
    def reindex(self, request: HttpRequest, rows: QuerySet[Document]) -> None:
        documents = rows.select_related("index", "version").iterator(chunk_size=50)
        count = reindex_all(documents, author=request.user.get_username())
        self.message_user(request, f"{count} being indexed again.", messages.SUCCESS if count else messages.WARNING)

    @action(description="Purge: erase for good", permissions=["delete"])
    def purge(self, request: HttpRequest, rows: QuerySet[Document]) -> HttpResponse | None:
        if "confirm" not in request.POST:
            page = {
                "title": "Purge documents", "opts": self.opts, "documents": rows.select_related("index"),
                "action": "purge", "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
                "select_across": request.POST.get("select_across", "0"),
            }  # fmt: skip
            return render(request, "admin/retrieval/document/purge.html", self.admin_site.each_context(request) | page)
        left = 0
        for document in rows.select_related("index"):
            self.log_change(request, document, "Purged")
            left += bool(purge_document(document.index.name, document.entity_id))
        text = f"{len(rows)} purged." + (f" Of {left} something is left, and erased a little later." if left else "")
        self.message_user(request, text, messages.WARNING if left else messages.SUCCESS)
        return None

    @display(description="title", ordering="title")
    def shown_title(self, document: Document) -> str:
        return short(str(document), 70)

    @display(description="state")
    def shown_state(self, document: Document) -> str:
        return badge(document.state, label=document.get_state_display())

    @display(description="made of")
    def made_of(self, document: Document) -> str:
        """Show the object of a model source: what is edited here is replaced by what the object says."""
        found = source_of(document.index.name, document.entity_id)
        if found is None:
            return "–"
        source, pk = found
        url, name = admin_url(source.label, pk), f"{source.model._meta.verbose_name} {pk}"
        shown = format_html('<a class="fb-link" href="{}">{}</a>', url, name) if url else code(name)
        return format_html("{}: edit that, since the next comparison replaces what is written here", shown)

    @display(description="error")
    def shown_error(self, document: Document) -> str:
        return short(document.error)

    @display(description="served version")
    def served(self, document: Document) -> str:
        return link(DocumentVersion, document.version_id, f"v{document.version.number}") if document.version else "none"

    @display(description="versions")
    def versions(self, document: Document) -> str:
        found = with_event(document.versions.defer("text", "metadata"))[:_SHOWN_ROWS]
        rows = [
            (link(DocumentVersion, version.pk, f"v{version.number}"), short(version.title), version.author or "–",
             shown_source(version), one_line(f"{version.created_at:%Y-%m-%d %H:%M:%S}"), compare_link(version),
             badge("served", "good") if version.pk == document.version_id else "")
            for version in found
        ]  # fmt: skip
        headings = ["Version", "Title", "Written by", "Came by", "Written (UTC)", "", ""]
        return table(headings, rows, "It was not indexed yet.")

    @display(description="chunks that searches find")
    def chunks(self, document: Document) -> str:
        return chunk_table(Chunk.objects.filter(document=document))
