"""The page about what takes space, how it grows, and what is removed next; from it pruning is begun."""

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from common.admin.html import bar, duration, one_line, table, wide
from common.admin.permissions import needs
from common.admin.site import render, site
from common.admin.stored import Stays, Stored, staying_rows, stored_rows
from common.dispatch import enqueue
from common.locks import is_held
from common.models import PrunedKind, Pruning
from common.redis_memory import RedisMemory, read_memory
from common.retention import clock, kinds
from common.retention.pruning import LOCK
from common.sql.disk import Disk, read_disk

_MAY_PRUNE = "common.change_pruning"


@needs("admin.view_logentry")
def show(request: HttpRequest) -> HttpResponse:
    """Show each kind of rows that has a retention, and the tables that have none, the largest first."""
    now = timezone.now()
    stored, staying = stored_rows(now), staying_rows(now)
    redis = read_memory()
    largest = max([row.size for row in stored] + [row.size for row in staying])
    page = {
        "title": "Storage",
        "redis_problem": redis.problem if redis else "Redis does not answer.",
        "doubted": clock.doubt(),
        "failed": [row.state for row in stored if row.state.error],
        "progress": _progress(),
        "may_prune": request.user.has_perm(_MAY_PRUNE),
        "figures": _figures(stored, staying, redis, read_disk()),
        "kept": table(_KEPT_HEADINGS, [_kept_line(row, largest) for row in stored]),
        "staying": table(_STAYING_HEADINGS, [_staying_line(row, largest) for row in staying]),
    }
    return render(request, "admin/storage.html", site.each_context(request) | page)


@needs(_MAY_PRUNE)
def prune_now(request: HttpRequest) -> HttpResponse:
    """Have a worker begin with a round."""
    if enqueue("common.tasks.prune", otherwise="nothing is pruned before the next hour"):
        messages.success(request, "A worker removes now what is past its time; this page shows how far it is.")
    else:
        messages.error(request, "The queue does not answer, so no worker was asked. Try again once Redis runs.")
    return HttpResponseRedirect(reverse("common:storage"))


@needs(_MAY_PRUNE)
def believe_clock(request: HttpRequest) -> HttpResponse:
    """Take the clock for right, and begin."""
    clock.believe()
    return prune_now(request)


def _figures(
    stored: Sequence[Stored], staying: Sequence[Stays], redis: RedisMemory | None, disk: Disk | None
) -> list[dict[str, Any]]:
    size = sum(row.size for row in stored) + sum(row.size for row in staying)
    figures: list[dict[str, Any]] = [
        {"name": "stored", "value": filesizeformat(size), "note": "indexes included"},
        {"name": "grows by", "value": filesizeformat(sum(row.growth for row in [*stored, *staying])), "note": "a day"},
        {"name": "Redis", "value": redis.shown if redis else "–", "note": redis.policy if redis else ""},
        {"name": "past their time", "value": f"{sum(row.past for row in stored):,}", "note": "rows, some in use"},
    ]
    if disk:
        note = f"of {filesizeformat(disk.total)}, on the database's disk"
        free = {"name": "free", "value": filesizeformat(disk.free), "note": note, "is_bad": disk.is_nearly_full}
        figures.insert(2, free)
    return figures


def _progress() -> str:
    """Return how far the pruning is, in a sentence."""
    state = Pruning.objects.first()
    if state is None:
        return "Nothing was pruned yet."
    done = PrunedKind.objects.filter(round=state.round, name__in=[kind.name for kind in kinds]).count()
    if done < len(kinds):
        goes_on = "is being worked on" if is_held(LOCK) else "waits for a worker"
        return f"A round {goes_on}: {done} of {len(kinds)} kinds of rows are done."
    return f"The last round ended {timesince(state.ended_at)} ago." if state.ended_at else ""


_KEPT_HEADINGS = ("", "Rows", "Space", "New a day", "Kept for", "Past that", "In a week", "Last removed")
_STAYING_HEADINGS = ("", "Rows", "Space", "New a day", "Why it stays")


def _kept_line(row: Stored, largest: int) -> tuple[Any, ...]:
    kept_for = row.kind.kept_for
    return (
        _named(row.kind.name, f"{row.kind.setting}_DAYS" if row.kind.setting else "always"),
        one_line(f"{row.rows:,}"),
        bar(row.size, largest, filesizeformat(row.size)),
        _added(row),
        duration(kept_for) if kept_for else one_line("for ever"),
        one_line(f"{row.past:,}"),
        one_line(f"{row.past_soon:,}"),
        one_line(f"{row.state.last_removed:,}" if row.state.ended_at else "–"),
    )


def _staying_line(row: Stays, largest: int) -> tuple[Any, ...]:
    return (
        one_line(row.tables.name),
        one_line(f"{row.rows:,}"),
        bar(row.size, largest, filesizeformat(row.size)),
        _added(row) if row.tables.created else "",
        wide(row.tables.reason),
    )


def _added(row: Stored | Stays) -> SafeString:
    if row.added_a_day is None:
        return one_line("not told")
    return one_line(f"{row.added_a_day:,}, {filesizeformat(row.growth)}" if row.added_a_day else "–")


def _named(name: str, beneath: str) -> SafeString:
    return one_line(format_html('{}<br><small class="fb-muted">{}</small>', name, beneath))
