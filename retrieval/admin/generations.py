"""Admin pages of generations: build, compare, switch and drop them."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from common.admin.base import ReadOnlyAdmin, moment
from common.admin.html import admin_url, badge, bar, link, list_url
from common.admin.permissions import needs
from common.admin.site import register, render
from common.errors import FabraError
from retrieval.dispatch import enqueue_build, enqueue_comparison, enqueue_drop, enqueue_hnsw_build
from retrieval.embedders import BACKENDS
from retrieval.generations import hnsw, lifecycle
from retrieval.models import Chunk, Generation, Index

_WORKERS = 2


class BuildForm(forms.Form):
    index = forms.ModelChoiceField(Index.objects.exclude(generation=None), widget=UnfoldAdminSelectWidget)
    backend = forms.ChoiceField(
        label="Embedder",
        choices=[("", "As in the settings"), *((value, name) for name, value in BACKENDS.items())],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    model = forms.CharField(
        label="Embedding model",
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Empty: FABRA_EMBEDDING_MODEL.",
    )
    max_tokens = forms.IntegerField(
        label="Longest chunk",
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="In the model's own tokens. Empty: as much as the model reads.",
    )


@register(Generation)
class GenerationAdmin(ReadOnlyAdmin):
    change_form_template = "admin/retrieval/generation/change_form.html"
    list_display = ("number", "of_index", "embedding_model", "dimension", "longest_chunk", "progress", "shown_state",
                    moment("created_at"))  # fmt: skip
    list_display_links = ("number",)
    list_filter = ("index", "state")
    list_select_related = ("index",)
    ordering = ("-pk",)
    sortable_by = ()
    fields = ("index", "embedding_model", "dimension")
    actions_list = ("start",)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        posts = (("switch", self.switch), ("compare", self.compare), ("drop", self.drop), ("go-on", self.go_on),
                 ("rebuild", self.rebuild))  # fmt: skip
        own = [
            path(f"<int:pk>/{name}/", view(require_POST(do)), name=f"retrieval_generation_{name}") for name, do in posts
        ]
        return [*own, *super().get_urls()]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        generation = self.get_object(request, object_id) if object_id else None
        extra: dict[str, Any] = {"title": "Generation", **(extra_context or {})}
        if isinstance(generation, Generation) and self.has_view_permission(request, generation):
            extra["page"] = generation_page(generation) | {"may_change": self.has_start_permission(request)}
        return super().changeform_view(request, object_id, form_url, extra)

    def has_start_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("retrieval.change_index")

    @action(description="Build another", url_path="start", permissions=["start"], icon="add")
    def start(self, request: HttpRequest) -> HttpResponse:
        form = BuildForm(request.POST or None, initial={"index": request.GET.get("index")})
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            try:
                generation = lifecycle.open_generation(
                    data["index"],
                    model=data["model"],
                    backend=data["backend"],
                    max_tokens=data["max_tokens"],
                )
            except FabraError as error:
                form.add_error(None, str(error))
            else:
                enqueue_build(generation.pk, _WORKERS)
                self.message_user(request, "Being built; the serving generation serves on.", messages.INFO)
                return HttpResponseRedirect(admin_url(Generation, generation.pk))
        page = {"title": "Build another generation", "form": form, "submit": "Build", "opts": self.opts}
        return render(request, "admin/form_page.html", self.admin_site.each_context(request) | page)

    @needs("start")
    def switch(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._do(request, pk, lifecycle.switch, "It serves now; the former one is kept up to date.")

    @needs("start")
    def compare(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._do(
            request, pk, lambda row: enqueue_comparison(row.pk), "A worker compares them; look again shortly."
        )

    @needs("start")
    def rebuild(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._do(
            request, pk, lambda row: enqueue_hnsw_build(row.pk, is_rebuild=True),
            "PostgreSQL builds another HNSW; the present one serves until it stands.",
        )  # fmt: skip

    @needs("start")
    def go_on(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._do(request, pk, lambda row: enqueue_build(row.pk), "It goes on.")

    @needs("start")
    def drop(self, request: HttpRequest, pk: int) -> HttpResponse:
        def mark(generation: Generation) -> None:
            lifecycle.mark_dropped(generation)
            enqueue_drop(generation.pk)

        return self._do(request, pk, mark, "It is being dropped.")

    def _do(self, request: HttpRequest, pk: int, act: Callable[[Generation], object], message: str) -> HttpResponse:
        generation = get_object_or_404(Generation.objects.select_related("index"), pk=pk)
        try:
            act(generation)
        except FabraError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, message, messages.SUCCESS)
        exists = Generation.objects.filter(pk=pk).exists()
        return HttpResponseRedirect(admin_url(Generation, pk) if exists else list_url(Generation))

    @display(description="generation")
    def number(self, generation: Generation) -> str:
        return f"#{generation.pk}"

    @display(description="index")
    def of_index(self, generation: Generation) -> str:
        return link(Index, generation.index_id, generation.index.name)

    @display(description="longest chunk")
    def longest_chunk(self, generation: Generation) -> str:
        return f"{generation.max_tokens} tokens" if generation.max_tokens else "as read"

    @display(description="documents")
    def progress(self, generation: Generation) -> str:
        if generation.state != Generation.State.BUILDING:
            return "–"
        done = min(generation.done, generation.total)
        return bar(done, generation.total, f"{done:,} of {generation.total:,}")

    @display(description="state")
    def shown_state(self, generation: Generation) -> str:
        return _state(generation)


def generation_page(generation: Generation) -> dict[str, Any]:
    """Return the template's context."""
    result = generation.comparison
    done = min(generation.done, generation.total)
    serving = generation.index.generation_id
    return {
        "state": _state_and_build(generation),
        "is_serving": serving == generation.pk,
        "is_building": generation.state == Generation.State.BUILDING,
        "is_ready": generation.state == Generation.State.READY,
        "has_hnsw": generation.has_hnsw,
        "progress": bar(done, generation.total, f"{done:,} of {generation.total:,} documents"),
        "chunks": Chunk.objects.filter(generation=generation).count(),
        # What serves is written with each change; to look through 100,000 documents takes 0.25 s.
        "behind": 0 if serving == generation.pk else lifecycle.outdated_documents(generation).count(),
        "compared": result,
        "figures": [
            {"name": name, "before": both[0], "after": both[1], "gain": _gain(name, *both)}
            for name, both in result.items()
            if isinstance(both, list)
        ],
        "overlap": result.get("overlap@10"),
        "overlap_bar": bar(result.get("overlap@10") or 0, 1, f"{100 * (result.get('overlap@10') or 0):.0f} %"),
    }


def _state(generation: Generation) -> str:
    if generation.index.generation_id == generation.pk:
        return badge("serves", "good")
    return badge(generation.state, {"building": "info", "dropping": "warn"}.get(generation.state, "plain"))


def _state_and_build(generation: Generation) -> str:
    share = hnsw.build_share(generation.pk)
    state = _state(generation)
    return state if share is None else format_html("{} {}", state, badge(f"HNSW {share:.0%}", "info"))


def _gain(name: str, before: float, after: float) -> dict[str, str]:
    is_better = after < before if name.startswith("latency") else after > before
    return {"text": f"{after - before:+.4g}", "tone": "plain" if after == before else "good" if is_better else "bad"}
