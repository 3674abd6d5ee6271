"""Admin pages of ingestion runs: upload files, follow a run, and see the outcome of each file."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST
from unfold.decorators import action, display

from common.admin.base import ReadOnlyAdmin, is_list, moment
from common.admin.html import admin_url, badge, bar, duration, list_url, one_line
from common.admin.permissions import needs
from common.admin.site import register, render
from common.clocks import was_within
from common.errors import FabraError
from retrieval.admin.ingestion_forms import UploadForm
from retrieval.dispatch import start_ingestion
from retrieval.ingestion.page_ends import count_shortened
from retrieval.ingestion.runs import open_upload
from retrieval.models import IngestionFile, IngestionRun
from retrieval.models.ingestion import ORPHANED_AFTER

_SHOWN_FILES = 200
_TONES = {
    "indexed": "good",
    "unchanged": "plain",
    "failed": "bad",
    "pruned": "warn",
    "taken": "info",
    "waiting": "plain",
}


@register(IngestionRun)
class IngestionRunAdmin(ReadOnlyAdmin):
    change_form_template = "admin/retrieval/ingestionrun/change_form.html"
    list_display = (
        "number", "source", "index", "shown_state", "shown_progress", "shown_warnings",
        "started_by", moment("created_at"), "took",
    )  # fmt: skip
    list_display_links = ("number", "source")
    list_filter = ("index", "state")
    list_select_related = ("index",)
    list_defer = ("options",)
    ordering = ("-pk",)
    sortable_by = ()
    search_fields = ("source__startswith",)
    search_help_text = "The beginning of a source's name."
    fields = ("index", "source", "state")
    actions_list = ("upload",)

    def get_queryset(self, request: HttpRequest) -> Any:
        runs: Any = super().get_queryset(request)
        return runs.with_counts() if is_list(request) else runs

    def get_urls(self) -> list[Any]:
        go_on = self.admin_site.admin_view(require_POST(self.go_on))
        return [path("<int:pk>/go-on/", go_on, name="retrieval_ingestionrun_go_on"), *super().get_urls()]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        run = self.get_object(request, object_id) if object_id else None
        extra: dict[str, Any] = {"title": "Ingestion run", **(extra_context or {})}
        if isinstance(run, IngestionRun) and self.has_view_permission(request, run):
            extra["page"] = run_page(run, request.GET.get("state", ""))
        return super().changeform_view(request, object_id, form_url, extra)

    def has_upload_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("retrieval.add_ingestionrun")

    @action(description="Upload documents", url_path="upload", permissions=["upload"], icon="upload_file")
    def upload(self, request: HttpRequest) -> HttpResponse:
        form = UploadForm(request.POST or None, request.FILES or None, initial=_initial(request))
        if request.method == "POST" and form.is_valid():
            cleaned = form.cleaned_data
            try:
                run = open_upload(
                    cleaned["index"],
                    ((file.name, file.read()) for file in cleaned["documents"]),
                    cleaned["options"],
                    source=cleaned["source"],
                    started_by=request.user.get_username(),
                )
            except FabraError as error:
                form.add_error(None, str(error))
            else:
                self._start(request, run)
                return HttpResponseRedirect(admin_url(IngestionRun, run.pk))
        page = {"title": "Upload documents", "form": form, "submit": "Upload and index", "opts": self.opts}
        return render(request, "admin/form_page.html", self.admin_site.each_context(request) | page)

    @needs("upload")
    def go_on(self, request: HttpRequest, pk: int) -> HttpResponse:
        run = get_object_or_404(IngestionRun, pk=pk)
        if not run.is_finished:
            self._start(request, run)
        return HttpResponseRedirect(admin_url(IngestionRun, run.pk))

    def _start(self, request: HttpRequest, run: IngestionRun) -> None:
        if start_ingestion(run):
            self.message_user(request, f"Started: {run}.", messages.SUCCESS)
        else:
            self.message_user(
                request, f"The broker does not answer: {run} is queued, and starts when it is back.", messages.ERROR
            )

    @display(description="run")
    def number(self, run: IngestionRun) -> str:
        return f"#{run.pk}"

    @display(description="state")
    def shown_state(self, run: IngestionRun) -> str:
        return badge(_state(run))

    @display(description="files")
    def shown_progress(self, run: IngestionRun) -> str:
        return _progress(run, run.counts())

    @display(description="warnings")
    def shown_warnings(self, run: IngestionRun) -> str:
        warned = run.counts()["warned"]
        return badge(f"{warned:,} file{'' if warned == 1 else 's'}", "warn") if warned else "–"

    @display(description="took")
    def took(self, run: IngestionRun) -> str:
        return one_line(duration((run.finished_at or timezone.now()) - run.started_at)) if run.started_at else "–"


def run_page(run: IngestionRun, wanted: str) -> dict[str, Any]:
    """Return the context of a run's page; `wanted` is a state of files, or "warned" for those with warnings."""
    counts = run.counts()
    warned = counts.pop("warned")
    shown = _files(run, wanted)
    done = sum(count for state, count in counts.items() if state not in ("waiting", "taken", "pruned"))
    seconds = ((run.finished_at or timezone.now()) - run.started_at).total_seconds() if run.started_at else 0.0
    rate = done / seconds if seconds else 0.0
    return {
        "state": _state(run),
        "is_unfinished": not run.is_finished,
        "may_go_on": _state(run) == "interrupted",
        "progress": _progress(run, counts),
        "counts": [
            (state, f"{counts[state]:,}", _TONES[state], IngestionFile.State(state).label)
            for state in IngestionFile.State.values
            if counts[state]
        ],
        "warned": f"{warned:,}" if warned else "",
        "shortened": count_shortened(run),
        "rate": f"{rate:,.1f}" if rate else "",
        "left": duration((run.total - done) / rate) if rate and not run.is_finished else "",
        "took": duration(seconds) if run.started_at else "",
        "files": [(file, badge(file.state, _TONES[file.state], file.get_state_display())) for file in shown],
        "hidden": max(0, _closed(counts, warned, wanted) - len(shown)),
        "options": [(name, value) for name, value in run.options.items() if value],
        "back": list_url(IngestionRun),
    }


def _files(run: IngestionRun, wanted: str) -> list[IngestionFile]:
    """Return the files to show, those that were finished last before others; of all, the failed and warned first."""
    files = run.files.filter(finished_at__isnull=False).order_by("-finished_at")
    if wanted == "warned":
        return list(files.warned()[:_SHOWN_FILES])
    if wanted in IngestionFile.State.values:
        return list(files.filter(state=wanted)[:_SHOWN_FILES])
    first = [*files.filter(state=IngestionFile.State.FAILED)[:_SHOWN_FILES], *files.warned()[:_SHOWN_FILES]]
    return list({file.pk: file for file in [*first, *files[:_SHOWN_FILES]]}.values())


def _closed(counts: dict[str, int], warned: int, wanted: str) -> int:
    """Return the number of finished files that `wanted` stands for."""
    if wanted == "warned":
        return warned
    return sum(count for state, count in counts.items() if state not in ("waiting", "taken") and wanted in ("", state))


def _initial(request: HttpRequest) -> dict[str, Any]:
    return {"index": request.GET.get("index") or settings.FABRA_DEFAULT_INDEX}


def _state(run: IngestionRun) -> str:
    """Return the state to show: "interrupted" for an unfinished run whose workers have died."""
    if not run.is_finished and not was_within(run.heartbeat_at, ORPHANED_AFTER):
        return "interrupted"
    return run.state


def _progress(run: IngestionRun, counts: dict[str, int]) -> str:
    # Of the pruned files those that are gone are no files of the run; they are pruned when all others are done.
    ended = sum(count for state, count in counts.items() if state not in ("waiting", "taken", "warned"))
    done = min(ended, run.total)
    if not run.is_listed:
        return bar(0, 1, "listing" if run.started_at and not run.is_finished else "not begun")
    label = f"{done:,} of {run.total:,}" + (f", {counts['failed']:,} failed" if counts["failed"] else "")
    tone = "bad" if run.state == run.State.FAILED else "warn" if counts["failed"] else "good"
    return bar(done, run.total, label, tone)
