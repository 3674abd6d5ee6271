"""Draw coverage and histories as SVG and HTML."""

from collections.abc import Sequence
from itertools import groupby

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from common.admin.html import duration, short
from features.coverage import Coverage
from features.models import FeatureValue

_TONES = {"fresh": "good", "stale": "warn", "expired": "bad", "missing": "plain"}
_WIDTH, _HEIGHT, _MARGIN = 220.0, 36.0, 4.0
_KEPT_CHANGES = 6


def coverage_bar(coverage: Coverage, *, has_legend: bool = False) -> SafeString:
    """Draw the share of each state."""
    parts = [
        {
            "name": name,
            "tone": _TONES[name],
            "count": f"{count:,}",
            "is_shown": count > 0,
            "width": f"{100 * count / coverage.entities:.2f}",
            "percent": f"{100 * count / coverage.entities:.1f}",
            "rounded": f"{100 * count / coverage.entities:.0f}",
        }
        for name, count in (coverage.parts() if coverage.entities else ())
    ]
    known = f"of the {coverage.entities:,} seen last" if coverage.is_partial else f"of {coverage.entities:,} known"
    return render_to_string("admin/charts/coverage.html", {"parts": parts, "known": known if has_legend else ""})


def history_drawing(rows: Sequence[FeatureValue]) -> SafeString:
    """Draw one entity's values over time, oldest first: numbers as a line, other values as a list of changes."""
    if drawn := sparkline(rows):
        return drawn
    changes = [next(group) for _, group in groupby(rows, key=lambda row: short(row.value, 1000))]
    lines = [(short(row.value, 60), f"{row.event_timestamp:%Y-%m-%d %H:%M}") for row in changes[-_KEPT_CHANGES:]]
    return render_to_string("admin/charts/changes.html", {"changes": lines})


def sparkline(rows: Sequence[FeatureValue]) -> SafeString | None:
    """Draw numbers over time, oldest first; return None unless there are at least two values, all of them numbers."""
    numbers = [row.value for row in rows if isinstance(row.value, int | float) and not isinstance(row.value, bool)]
    if len(numbers) < len(rows) or len(rows) < 2:
        return None
    moments, values = [row.event_timestamp for row in rows], [float(number) for number in numbers]
    lowest, span = min(values), max(values) - min(values)
    begin, length = moments[0], (moments[-1] - moments[0]).total_seconds() or 1.0
    dots = [
        {
            "x": f"{_MARGIN + (_WIDTH - 2 * _MARGIN) * (moment - begin).total_seconds() / length:.1f}",
            "y": f"{_height_of((value - lowest) / span if span else 0.5):.1f}",
            "title": f"{value:g} at {moment:%Y-%m-%d %H:%M:%S}",
        }
        for moment, value in zip(moments, values, strict=True)
    ]
    label = f"{lowest:g} to {max(values):g} in {duration(moments[-1] - moments[0])}, now {values[-1]:g}"
    context = {"width": _WIDTH, "height": _HEIGHT, "dots": dots, "label": label}
    return render_to_string("admin/charts/sparkline.html", context)


def _height_of(share: float) -> float:
    return _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * share
