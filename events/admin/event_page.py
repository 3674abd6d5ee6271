"""Contents of an event's page: its timeline, and the rows it changed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.urls import NoReverseMatch
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from common.admin.html import duration, link
from events.models import Event, HandlerOutcome

_TONES = {"done": "good", "dead": "bad", "superseded": "plain", "unhandled": "warn"}


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that happened to the event: at `at`, or from `began_at` to `at`."""

    name: str
    at: datetime
    began_at: datetime | None = None
    tone: str = "info"
    note: str = ""


def steps_of(event: Event, outcomes: list[HandlerOutcome]) -> list[Step]:
    """Return what happened to the event, in order of time."""
    attempt = f"attempt {event.attempts}" if event.attempts > 1 else ""
    effects = [text for outcome in outcomes if isinstance(text := _detail(outcome).get("effect"), str)]
    moments = [
        ("published", event.published_at, "info", "to the stream"),
        ("received", event.received_at, "info", "in the outbox"),
        ("queued", event.dispatched_at, "info", "for a worker"),
        ("started", event.started_at, "info", attempt),
        (effects[0] if effects else "applied", event.applied_at, "good", "committed"),
        (event.state, event.finished_at, _TONES.get(event.state, "info"), ""),
    ]
    steps = [Step(name=name, at=at, tone=tone, note=note) for name, at, tone, note in moments if at]
    steps += [_handler_step(outcome) for outcome in outcomes if outcome.duration_ms is not None]
    steps += [step for outcome in outcomes for step in _own_steps(outcome)]
    return sorted(steps, key=lambda step: (step.began_at or step.at, step.at))


def _handler_step(outcome: HandlerOutcome) -> Step:
    took = timedelta(milliseconds=outcome.duration_ms or 0)
    tone = "good" if outcome.is_done else "bad"
    note = "" if outcome.attempts == 1 else f"attempt {outcome.attempts}"
    return Step(name=outcome.handler, at=outcome.updated_at, began_at=outcome.updated_at - took, tone=tone, note=note)


def _own_steps(outcome: HandlerOutcome) -> list[Step]:
    """Return the steps that the handler itself reports."""
    steps = _detail(outcome).get("steps", [])
    return [Step(name=step["name"], at=at, note=step["note"]) for step in steps if (at := parse_datetime(step["at"]))]


def _detail(outcome: HandlerOutcome) -> dict[str, Any]:
    return outcome.detail if isinstance(outcome.detail, dict) else {}


def timeline(event: Event, outcomes: list[HandlerOutcome]) -> list[dict[str, Any]]:
    """Return the steps as the timeline's rows: where each begins and its width, in per cent of the whole."""
    steps = steps_of(event, outcomes)
    first = min(step.began_at or step.at for step in steps)
    whole = max((step.at - first).total_seconds() for step in steps) or 1.0

    def percent(moment: datetime) -> float:
        return 100 * (moment - first).total_seconds() / whole

    return [
        {
            "name": step.name,
            "note": step.note,
            "tone": step.tone,
            "is_handler": step.began_at is not None,
            "left": f"{min(percent(step.began_at or step.at), 99.4):.2f}",
            "width": f"{percent(step.at) - percent(step.began_at):.2f}" if step.began_at else "0",
            "took": duration(step.at - (step.began_at or first)),
            "at": f"{step.at:%H:%M:%S}.{step.at.microsecond // 1000:03}",
        }
        for step in steps
    ]


def changes_of(outcome: HandlerOutcome) -> SafeString | str:
    """Return links to the rows that a handler reports as changed."""
    changed = _detail(outcome).get("changed", [])
    return format_html_join(", ", "{}", ((_change(change),) for change in changed)) or "–"


def _change(change: dict[str, Any]) -> SafeString | str:
    try:
        return link(apps.get_model(change["model"]), change["pk"], change["text"])
    except (LookupError, NoReverseMatch):  # the row's app is no longer installed
        return format_html("{}", change.get("text", ""))
