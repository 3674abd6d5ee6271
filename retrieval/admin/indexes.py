"""Admin pages of indexes with their generations, and of the retrievers that the code declares."""

from typing import Any

from django.db.models import Count, F
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display

from common.admin.base import DefinitionAdmin, ListAdmin, ReadOnlyInline, state_of
from common.admin.html import badge, code, duration, json_block, link, list_link, table
from common.admin.site import register
from retrieval.admin.forms import IndexForm, RankingForm
from retrieval.models import CalibrationRun, Chunk, Document, Generation, Index, RetrieverDefinition


class GenerationInline(ReadOnlyInline):
    model = Generation
    fk_name = "index"
    show_change_link = True
    fields = ("embedding_model", "dimension", "max_tokens", "state", "has_hnsw", "is_serving", "created_at")
    readonly_fields = ("is_serving", "state", "created_at")

    @display(description="serves searches", boolean=True)
    def is_serving(self, generation: Generation) -> bool:
        return generation.index.generation_id == generation.pk


@register(Index)
class IndexAdmin(ListAdmin):
    list_display = ("name", "language", "chunk_count", "model", "version", "created_at")
    list_select_related = ("generation",)
    search_fields = ("name",)
    readonly_fields = ("version", "chunk_count", "documents", "generation", "created_at", "shown_threshold")
    needs_permission = {"shown_threshold": "retrieval.view_calibrationrun"}
    inlines = (GenerationInline,)

    def get_fieldsets(self, request: HttpRequest, obj: Index | None = None) -> Any:
        ranking = ("Ranking", {"fields": (("mode", "fusion"), ("lexical_weight", "rerank"))})
        if obj is None:
            return ((None, {"fields": ("name", "language")}), ranking)
        fieldsets = (
            (None, {"fields": (("name", "language"), ("chunk_count", "version"), ("generation", "created_at"))}),
            ranking,
            (None, {"fields": ("shown_threshold", "documents")}),
        )
        return self.permitted(request, fieldsets)

    def get_form(self, request: HttpRequest, obj: Index | None = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, form=RankingForm if obj else IndexForm, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Index | None = None) -> Any:
        # Its chunks were indexed in its language.
        return (*self.readonly_fields, "name", "language") if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Index, form: Any, change: bool) -> None:
        if not change:
            obj.save()
            return
        changed = {name: form.cleaned_data[name] for name in form.changed_data}
        # Increase the version, since cached results of retrievers were ranked with the old options.
        Index.objects.filter(pk=obj.pk).update(**changed, version=F("version") + 1)

    def get_inlines(self, request: HttpRequest, obj: Index | None = None) -> Any:
        return self.inlines if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="embedding model")
    def model(self, index: Index) -> str:
        return index.generation.embedding_model if index.generation else "none yet"

    @display(description="threshold")
    def shown_threshold(self, index: Index) -> str:
        """Show below which best score the bot does not know, and the calibrations, where it is set."""
        newest = index.calibration_runs.order_by("-pk").values_list("pk", flat=True).first()
        if newest is None:
            return format_html("none; {} measures it", code(f"manage.py calibrate {index.name}"))
        stale = index.stale_threshold()
        state = "none" if index.threshold is None else f"{index.threshold:.4f}"
        return format_html(
            "{} {} · {} · {}",
            badge(state, "warn" if stale else "plain" if index.threshold is None else "good"),
            f"not applied, since the ranking is another now: {'; '.join(stale)}" if stale else "",
            link(CalibrationRun, index.threshold_run_id or newest, f"calibration #{index.threshold_run_id or newest}"),
            list_link(CalibrationRun, "all calibrations", index__id__exact=index.pk),
        )

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


@register(RetrieverDefinition)
class RetrieverDefinitionAdmin(DefinitionAdmin):
    list_display = ("name", "index", "top_k", "shown_ttl", "shown_state", "location")
    readonly_fields = ("shown_filters", "shown_options")
    fieldsets = (
        ("What you may change", {"fields": ("is_enabled",)}),
        (
            "As the code declares it",
            {
                "fields": (
                    ("name", "index"), "description", "location", ("top_k", "cache_ttl"), "shown_filters",
                    "shown_options",
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

    @display(description="options")
    def shown_options(self, row: RetrieverDefinition) -> str:
        return json_block(row.options)
