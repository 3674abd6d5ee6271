"""The progress of a run, as a bar and as JSON for open pages."""

from dataclasses import asdict, dataclass

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from common.admin.html import badge, bar, duration, tone_of
from common.admin.site import reverse_admin
from features.known_keys import found_none
from features.models import MaterializationRun


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    percent: float
    label: str
    tone: str
    state: str
    state_tone: str
    took: str
    is_finished: bool

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


def progress_of(run: MaterializationRun) -> RunProgress:
    """Return the progress to show; failed entities count as done."""
    label = f"{run.worked:,} of {run.total:,}" + (f", {run.failed:,} failed" if run.failed else "")
    if not run.total:
        label = "nothing is known" if found_none(run) else "none to do" if run.state == run.State.DONE else "not begun"
    seconds = (timezone.now() - run.started_at).total_seconds() if run.started_at else 0.0
    if run.state == run.State.RUNNING and run.worked and seconds > 0:
        rate = run.worked / seconds
        label += f" · {rate:,.0f}/s · {duration(max(0, run.total - run.worked) / rate)} left"
    return RunProgress(
        percent=round(100 * run.worked / run.total, 2) if run.total else 0.0,
        label=label,
        tone="bad" if run.state == run.State.FAILED else "warn" if run.failed or found_none(run) else "good",
        state=run.state,
        state_tone=_state_tone(run),
        took=duration((run.finished_at or timezone.now()) - run.started_at) if run.started_at else "–",
        is_finished=run.is_finished,
    )


def _state_tone(run: MaterializationRun) -> str:
    return "warn" if found_none(run) else tone_of(run.state)


def progress_bar(run: MaterializationRun) -> SafeString:
    """Draw the bar; admin/runs.js updates it while the run continues."""
    now = progress_of(run)
    drawn = format_html('<span class="fb-run">{}</span>', bar(now.percent, 100, now.label, now.tone))
    return _live(run, "bar", drawn)


def state_badge(run: MaterializationRun) -> SafeString:
    return _live(run, "state", badge(run.state, _state_tone(run)))


def time_taken(run: MaterializationRun) -> SafeString:
    return _live(run, "took", format_html("{}", progress_of(run).took))


def _live(run: MaterializationRun, part: str, drawn: SafeString) -> SafeString:
    if run.is_finished:
        return drawn
    url = reverse_admin("features_materializationrun_progress")
    return format_html('<span data-fb-run="{}" data-fb-part="{}" data-fb-url="{}">{}</span>', run.pk, part, url, drawn)
