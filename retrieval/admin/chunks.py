"""Admin pages of chunks; they never read the vectors."""

from functools import reduce
from operator import or_
from typing import Any

from django.contrib import admin
from django.contrib.postgres.search import SearchQuery
from django.db.models import Func, Q, QuerySet, TextField, Value
from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display

from common.admin.base import ReadOnlyAdmin, is_list
from common.admin.html import json_block, link, short, table, text_block, wide
from common.admin.site import register
from retrieval.models import Chunk, Document, DocumentVersion, Generation, Index
from retrieval.search.lexemes import lexical_words

_SHOWN_ROWS = 100


class IndexFilter(admin.SimpleListFilter):
    title = "index"
    parameter_name = "index"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(pk), name) for pk, name in Index.objects.values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Chunk]) -> QuerySet[Chunk]:
        given = self.value() or ""
        is_number = given.isdecimal() and len(given) < 19
        return queryset.filter(generation__index_id=int(given)) if is_number else queryset


@register(Chunk)
class ChunkAdmin(ReadOnlyAdmin):
    list_display = ("shown_text", "of_document", "position", "heading_path", "token_count", "of_version")
    list_display_links = ("shown_text",)
    list_filter = (IndexFilter,)
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("text",)  # see get_search_results
    search_help_text = "A document's whole id, or words of the text, as the lexical leg finds them."
    fieldsets = (
        (None, {"fields": (("of_document", "of_version", "position"), "heading_path", "whole_text", "token_count")}),
        ("Metadata", {"fields": ("shown_metadata",)}),
        ("Embedding", {"fields": ("generation", "content_hash")}),
    )
    readonly_fields = ("of_document", "of_version", "whole_text", "shown_metadata")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Chunk]:
        rows = super().get_queryset(request).select_related("document", "version", "generation__index")
        rows = rows.defer(
            "embedding", "lexemes", "document__text", "document__metadata", "document__error", "version__text",
            "version__metadata",
        )  # fmt: skip
        return rows.defer("text", "metadata").annotate(beginning=Left("text", 200)) if is_list(request) else rows

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if documents := list(Document.objects.filter(entity_id=term).values_list("pk", flat=True)[:50]):
            return queryset.filter(document__in=documents), False
        # Every lexeme is stored without accents.
        text = Func(Value(lexical_words(term)), function="fabra_unaccent", output_field=TextField())
        # Each generation has an index of its own, which only a condition on the generation can use.
        words = (
            Q(generation=pk, lexemes=SearchQuery(text, config=language, search_type="websearch"))
            for pk, language in Generation.objects.values_list("pk", "index__language")
        )
        return queryset.filter(reduce(or_, words, Q(pk=None))), False

    @display(description="text")
    def shown_text(self, chunk: Any) -> str:
        return wide(short(chunk.beginning, 110))

    @display(description="document")
    def of_document(self, chunk: Chunk) -> str:
        return link(Document, chunk.document_id, chunk.document.entity_id)

    @display(description="version")
    def of_version(self, chunk: Chunk) -> str:
        return link(DocumentVersion, chunk.version_id, f"v{chunk.version.number}")

    @display(description="text")
    def whole_text(self, chunk: Chunk) -> str:
        return text_block(chunk.text)

    @display(description="metadata")
    def shown_metadata(self, chunk: Chunk) -> str:
        return json_block(chunk.metadata)


def chunk_table(chunks: QuerySet[Chunk]) -> str:
    found = chunks.order_by("generation", "position").values_list(
        "pk", "position", "heading_path", "text", "token_count"
    )
    rows = [
        (link(Chunk, pk, f"#{position}"), heading_path or "–", short(text, 140), tokens)
        for pk, position, heading_path, text, tokens in found[:_SHOWN_ROWS]
    ]
    return format_html("{}", table(["Chunk", "Under", "Text", "Tokens"], rows, "None are served."))
