"""HTML fragments for the admin's pages; every text passed in is escaped."""

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.db import models
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from common.admin.site import reverse_admin

_TONES = {
    "done": "good", "indexed": "good", "answered": "good", "fresh": "good", "kept": "good", "enabled": "good",
    "usable": "good", "verified": "good", "open": "info", "received": "info", "running": "info", "queued": "info",
    "pending": "info", "assembled": "info", "retrying": "warn", "stale": "warn", "superseded": "plain",
    "dropped": "plain", "deleted": "plain", "closed": "plain", "expired": "warn", "dead": "bad", "failed": "bad",
    "unhandled": "warn", "missing": "bad", "revoked": "bad", "gone": "bad", "disabled": "warn", "altered": "bad",
}  # fmt: skip


def tone_of(text: str) -> str:
    return _TONES.get(str(text).lower(), "plain")


def badge(text: str, tone: str = "", label: str = "") -> SafeString:
    """Render a state as a coloured label; without `tone` the text decides."""
    return format_html('<span class="fb-badge fb-{}">{}</span>', tone or tone_of(text), label or text)


def badges(texts: Iterable[str], tone: str = "warn") -> SafeString | str:
    return format_html_join(" ", '<span class="fb-badge fb-{}">{}</span>', ((tone, text) for text in texts)) or "–"


def bar(part: float, whole: float, label: str = "", tone: str = "info") -> SafeString:
    """Render `part` of `whole` as a labelled bar."""
    percent = min(100.0, 100 * part / whole) if whole else 0.0
    return render_to_string("admin/kit/bar.html", {"label": label, "tone": tone, "percent": f"{percent:.1f}"})


def pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)


def json_block(value: Any) -> SafeString:
    return format_html('<pre class="fb-pre">{}</pre>', pretty(value))


def text_block(text: str) -> SafeString | str:
    return format_html('<pre class="fb-pre">{}</pre>', text) if text else "–"


def code(text: object) -> SafeString:
    """Set a short value apart from the text around it."""
    return format_html('<code class="fb-code">{}</code>', text)


def one_line(text: str) -> SafeString:
    return format_html('<span class="fb-one-line">{}</span>', text)


def wide(text: str) -> SafeString:
    """Wrap a list cell's text so that its column is wide enough to read."""
    return format_html('<span class="fb-wide">{}</span>', text)


def folded(summary: str, content: str) -> SafeString:
    """Render long content as a <details> element, closed at first."""
    return format_html('<details class="fb-fold"><summary>{}</summary>{}</details>', summary, content)


def short(value: Any, max_chars: int = 80) -> str:
    """Return a JSON value on one line, truncated to `max_chars`."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def admin_url(model: type[models.Model], pk: Any) -> str:
    return reverse_admin(f"{model._meta.app_label}_{model._meta.model_name}_change", pk)


def list_url(model: type[models.Model]) -> str:
    return reverse_admin(f"{model._meta.app_label}_{model._meta.model_name}_changelist")


def link(model: type[models.Model], pk: Any, text: Any) -> SafeString | str:
    """Return a link to a row's page, or a dash when `pk` is None."""
    return format_html('<a class="fb-link" href="{}">{}</a>', admin_url(model, pk), text) if pk is not None else "–"


def list_link(model: type[models.Model], text: str, **query: Any) -> SafeString:
    """Return a link to a list, filtered or searched by `query`."""
    return format_html('<a class="fb-link" href="{}?{}">{}</a>', list_url(model), urlencode(query), text)


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], empty: str = "Nothing here yet.") -> SafeString:
    return render_to_string("admin/kit/table.html", {"headings": headings, "rows": list(rows), "empty": empty})


def duration(value: timedelta | float | None) -> str:
    """Return a length of time as text: 240 ms, 4.2 s, 5 min, 3 h, 2 d; a number is in seconds."""
    if value is None:
        return "–"
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
