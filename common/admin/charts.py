"""Charts over time as inline SVG, rendered by a template; each column shows its values on hover."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

_WIDTH, _HEIGHT = 960.0, 200.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 8.0, 10.0, 24.0
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM


@dataclass(frozen=True, kw_only=True)
class Series:
    name: str
    tone: str
    """good, info, warn, bad or plain: the tones of a badge."""
    values: Sequence[float | None]


@dataclass(frozen=True, kw_only=True)
class Mark:
    text: str
    position: float
    """In columns from the left: 0.5 is the middle of the first."""


def bar_chart(labels: Sequence[str], series: Sequence[Series], write: Callable[[float], str]) -> SafeString:
    """Render one column per label, with the series stacked."""
    sums = [sum(one_series.values[index] or 0 for one_series in series) for index in range(len(labels))]
    top = _round_up(max(sums, default=0))
    width, bars = _width(labels), []
    for index in range(len(labels)):
        sum_so_far = 0.0
        for one_series in series:
            if value := one_series.values[index]:
                sum_so_far += value
                bars.append(
                    {
                        "tone": one_series.tone,
                        "x": _x(index, width),
                        "y": _y(sum_so_far, top),
                        "width": max(1.0, width - 2),
                        "height": round(_PLOT_HEIGHT * value / top, 1),
                    }
                )
    return _chart(labels, series, write, top, {"bars": bars})


def line_chart(
    labels: Sequence[str], series: Sequence[Series], write: Callable[[float], str], marks: Sequence[Mark] = ()
) -> SafeString:
    """Render one line per series, and upright ones for marks; a missing value interrupts the line."""
    values = (value for one_series in series for value in one_series.values if value is not None)
    top = _round_up(max(values, default=0))
    width = _PLOT_WIDTH / max(1, len(labels))
    lines = []
    for one_series in series:
        points = [(_x(index, width) + width / 2, value) for index, value in enumerate(one_series.values)]
        lines.append({"tone": one_series.tone, "path": _path(points, top)})
    drawn = [{"text": mark.text, "x": _x(mark.position, width)} for mark in marks if 0 <= mark.position <= len(labels)]
    return _chart(labels, series, write, top, {"lines": lines, "marks": drawn})


def _chart(
    labels: Sequence[str],
    series: Sequence[Series],
    write: Callable[[float], str],
    top: float,
    shapes: dict[str, Any],
) -> SafeString:
    width, every = _width(labels), max(1, -(-len(labels) // 10))
    columns = [
        {
            "label": label,
            "is_named": index % every == every // 2,
            "x": _x(index, width),
            "middle": _x(index + 0.5, width),
            "title": _describe(index, label, series, write),
        }
        for index, label in enumerate(labels)
    ]
    grid = [{"y": _y(top * part, top), "text": write(top * part)} for part in (0, 0.5, 1)]
    frame = {
        "width": _WIDTH, "height": _HEIGHT, "left": _LEFT, "right": _WIDTH - _RIGHT, "top": _TOP, "depth": _PLOT_HEIGHT,
        "bottom": _TOP + _PLOT_HEIGHT, "column_width": width,
    }  # fmt: skip
    context = {"series": series, "grid": grid, "columns": columns, **frame, **shapes}
    return render_to_string("admin/charts/over_time.html", context)


def _describe(index: int, label: str, series: Sequence[Series], write: Callable[[float], str]) -> str:
    values = ((one_series.name, one_series.values[index]) for one_series in series)
    return ", ".join([label, *(f"{name} {write(value)}" for name, value in values if value is not None)])


def _path(points: Sequence[tuple[float, float | None]], top: float) -> str:
    steps, is_drawing = [], False
    for index, (x, value) in enumerate(points):
        if value is not None:
            is_alone = not is_drawing and (index + 1 == len(points) or points[index + 1][1] is None)
            # A single point between gaps is drawn as a dash, because a point would hardly be visible.
            steps.append(f"{'L' if is_drawing else 'M'}{x - 4 * is_alone:.1f} {_y(value, top):.1f}{' h8' * is_alone}")
        is_drawing = value is not None
    return " ".join(steps)


def _width(labels: Sequence[str]) -> float:
    return round(_PLOT_WIDTH / max(1, len(labels)), 2)


def _x(index: float, width: float) -> float:
    return round(_LEFT + index * width + 1, 1)


def _y(value: float, top: float) -> float:
    return round(_TOP + _PLOT_HEIGHT * (1 - value / top), 1)


def _round_up(value: float) -> float:
    """Return the next number that is 1, 2 or 5 times a power of ten; 1 for a value of 0 or less."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= value * 0.9999)
