"""Draw coverage and histories as SVG and HTML."""

from collections.abc import Sequence
from itertools import groupby

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from common.admin.html import duration, short
from features.coverage import Coverage
from features.models import FeatureValue

_TONES = {"fresh": "good", "stale": "warn", "expired": "bad", "missing": "plain"}
_WIDTH, _HEIGHT, _MARGIN = 220.0, 36.0, 4.0
_KEPT_CHANGES = 6


def coverage_bar(coverage: Coverage, *, has_legend: bool = False) -> SafeString:
    """Draw the share of each state."""
    if not coverage.entities:
        return format_html('<span class="fb-empty">{}</span>', "No entity is known yet.")
    parts = [(name, count, 100 * count / coverage.entities) for name, count in coverage.parts()]
    stack = format_html_join(
        "",
        '<span class="fb-fill-{}" style="width:{}%" title="{}: {}"></span>',
        ((_TONES[name], f"{share:.2f}", name, f"{count:,}") for name, count, share in parts if count),
    )
    drawn = format_html('<span class="fb-stack fb-coverage">{}</span>', stack)
    if not has_legend:
        return format_html('{}<span class="fb-bar-label">{} % fresh</span>', drawn, f"{parts[0][2]:.0f}")
    legend = format_html_join(
        "",
        '<span class="fb-legend"><span class="fb-dot fb-fill-{}"></span>{} <b>{}</b> <span class="fb-muted">{} %</span>'
        "</span>",
        ((_TONES[name], name, f"{count:,}", f"{share:.1f}") for name, count, share in parts),
    )
    known = f"of the {coverage.entities:,} seen last" if coverage.is_partial else f"of {coverage.entities:,} known"
    return format_html(
        '<div class="fb-wide-block">{}<div class="fb-legends">{}<span class="fb-muted">{}</span></div></div>',
        drawn, legend, known,
    )  # fmt: skip


def history_drawing(rows: Sequence[FeatureValue]) -> SafeString:
    """Draw one entity's values over time, oldest first: numbers as a line, other values as a list of changes."""
    if drawn := sparkline(rows):
        return drawn
    changes = [next(group) for _, group in groupby(rows, key=lambda row: short(row.value, 1000))]
    lines = [(short(row.value, 60), f"{row.event_timestamp:%Y-%m-%d %H:%M}") for row in changes[-_KEPT_CHANGES:]]
    return format_html(
        '<span class="fb-changes">{}</span>',
        format_html_join("", '<span><code class="fb-code">{}</code> <span class="fb-muted">{}</span></span>', lines),
    )


def sparkline(rows: Sequence[FeatureValue]) -> SafeString | None:
    """Draw numbers over time, oldest first; return None unless there are at least two values, all of them numbers."""
    numbers = [row.value for row in rows if isinstance(row.value, int | float) and not isinstance(row.value, bool)]
    if len(numbers) < len(rows) or len(rows) < 2:
        return None
    moments, values = [row.event_timestamp for row in rows], [float(number) for number in numbers]
    lowest, span = min(values), max(values) - min(values)
    begin, length = moments[0], (moments[-1] - moments[0]).total_seconds() or 1.0
    points = [
        (
            _MARGIN + (_WIDTH - 2 * _MARGIN) * (moment - begin).total_seconds() / length,
            _HEIGHT / 2 if not span else _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * (value - lowest) / span,
        )
        for moment, value in zip(moments, values, strict=True)
    ]
    titles = [f"{value:g} at {moment:%Y-%m-%d %H:%M:%S}" for moment, value in zip(moments, values, strict=True)]
    radii = [1.2] * (len(points) - 1) + [2.5]
    dots = format_html_join(
        "",
        '<circle cx="{}" cy="{}" r="{}"><title>{}</title></circle>',
        ((f"{x:.1f}", f"{y:.1f}", radius, title) for (x, y), radius, title in zip(points, radii, titles, strict=True)),
    )
    label = f"{lowest:g} to {max(values):g} in {duration(moments[-1] - moments[0])}, now {values[-1]:g}"
    return format_html(
        '<span class="fb-sparkline"><svg viewBox="0 0 {} {}" role="img" aria-label="{}"><polyline points="{}"/>{}</svg>'
        '<span class="fb-muted">{}</span></span>',
        _WIDTH, _HEIGHT, label, " ".join(f"{x:.1f},{y:.1f}" for x, y in points), dots, label,
    )  # fmt: skip
