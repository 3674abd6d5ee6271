"""Indexes with their generations, and the retrievers that the code declares."""

from typing import Any

from django.contrib import admin
from django.db.models import Count
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display

from features.admin.definitions import state_of
from features.admin_html import badge, duration, json_block, list_link, table
from features.admin_tools import DefinitionAdmin, ListAdmin, ReadOnlyInline
from retrieval.admin.forms import IndexForm
from retrieval.models import Chunk, Document, Generation, Index, RetrieverDefinition


class GenerationInline(ReadOnlyInline):
    model = Generation
    fk_name = "index"
    fields = ("embedding_model", "dimension", "has_hnsw", "is_serving", "created_at")
    readonly_fields = ("is_serving", "created_at")

    @display(description="serves searches", boolean=True)
    def is_serving(self, generation: Generation) -> bool:
        return generation.index.generation_id == generation.pk


@admin.register(Index)
class IndexAdmin(ListAdmin):
    form = IndexForm
    list_display = ("name", "language", "chunk_count", "model", "version", "created_at")
    list_select_related = ("generation",)
    search_fields = ("name",)
    readonly_fields = ("version", "chunk_count", "documents", "generation", "created_at")
    inlines = (GenerationInline,)

    def get_fieldsets(self, request: HttpRequest, obj: Index | None = None) -> Any:
        if obj is None:
            return ((None, {"fields": ("name", "language")}),)
        return (
            (None, {"fields": (("name", "language"), ("chunk_count", "version"), ("generation", "created_at"))}),
            (None, {"fields": ("documents",)}),
        )

    def get_inlines(self, request: HttpRequest, obj: Index | None = None) -> Any:
        return self.inlines if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # its chunks were made for its language

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="embedding model")
    def model(self, index: Index) -> str:
        return index.generation.embedding_model if index.generation else "none yet"

    @display(description="documents")
    def documents(self, index: Index) -> str:
        counts = Document.objects.filter(index=index).values_list("state").annotate(count=Count("pk")).order_by("state")
        rows = [(badge(state, label=Document.State(state).label), f"{count:,}") for state, count in counts]
        return format_html(
            "{}{} · {}",
            table(["State", "Documents"], rows),
            list_link(Document, "Its documents", index__id__exact=index.pk),
            list_link(Chunk, "Its chunks", index=index.pk),
        )


@admin.register(RetrieverDefinition)
class RetrieverDefinitionAdmin(DefinitionAdmin):
    list_display = ("name", "index", "top_k", "shown_ttl", "shown_state", "location")
    readonly_fields = ("shown_filters",)
    fieldsets = (
        ("What you may change", {"fields": ("is_enabled",)}),
        (
            "As the code declares it",
            {
                "fields": (
                    ("name", "index"), "description", "location", ("top_k", "cache_ttl"), "shown_filters",
                    ("created_at", "gone_at"),
                )
            },
        ),
    )  # fmt: skip

    @display(description="state")
    def shown_state(self, row: RetrieverDefinition) -> str:
        return badge(state_of(row))

    @display(description="cached for")
    def shown_ttl(self, row: RetrieverDefinition) -> str:
        return duration(row.cache_ttl)

    @display(description="filters")
    def shown_filters(self, row: RetrieverDefinition) -> str:
        return json_block(row.filters)
