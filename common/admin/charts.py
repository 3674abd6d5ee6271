"""Charts over time as inline SVG, drawn by a template; each column tells its figures under the pointer."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

_WIDTH, _HEIGHT = 960.0, 200.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 8.0, 10.0, 24.0
_ROOM, _DEPTH = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM


@dataclass(frozen=True, kw_only=True)
class Series:
    name: str
    tone: str
    """good, info, warn, bad or plain, as of a badge."""
    values: Sequence[float | None]


def bar_chart(labels: Sequence[str], series: Sequence[Series], write: Callable[[float], str]) -> SafeString:
    """Draw a column for each label, the series on top of each other."""
    sums = [sum(each.values[place] or 0 for each in series) for place in range(len(labels))]
    top = _round_up(max(sums, default=0))
    width, bars = _width(labels), []
    for place in range(len(labels)):
        sum_so_far = 0.0
        for each in series:
            if value := each.values[place]:
                sum_so_far += value
                bars.append(
                    {
                        "tone": each.tone,
                        "x": _x(place, width),
                        "y": _y(sum_so_far, top),
                        "width": max(1.0, width - 2),
                        "height": round(_DEPTH * value / top, 1),
                    }
                )
    return _chart(labels, series, write, top, {"bars": bars})


def line_chart(labels: Sequence[str], series: Sequence[Series], write: Callable[[float], str]) -> SafeString:
    """Draw a line for each series; where a value is missing it is broken."""
    top = _round_up(max((value for each in series for value in each.values if value is not None), default=0))
    width = _ROOM / max(1, len(labels))
    lines = [
        {"tone": each.tone, "path": _path([(_x(n, width) + width / 2, v) for n, v in enumerate(each.values)], top)}
        for each in series
    ]
    return _chart(labels, series, write, top, {"lines": lines})


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
            "is_named": place % every == every // 2,
            "x": _x(place, width),
            "middle": _x(place + 0.5, width),
            "told": _told(place, label, series, write),
        }
        for place, label in enumerate(labels)
    ]
    grid = [{"y": _y(top * part, top), "text": write(top * part)} for part in (0, 0.5, 1)]
    frame = {
        "width": _WIDTH, "height": _HEIGHT, "left": _LEFT, "right": _WIDTH - _RIGHT, "top": _TOP, "depth": _DEPTH,
        "column_width": width,
    }  # fmt: skip
    context = {"series": series, "grid": grid, "columns": columns, **frame, **shapes}
    return render_to_string("admin/charts/over_time.html", context)


def _told(place: int, label: str, series: Sequence[Series], write: Callable[[float], str]) -> str:
    values = ((each.name, each.values[place]) for each in series)
    return ", ".join([label, *(f"{name} {write(value)}" for name, value in values if value is not None)])


def _path(points: Sequence[tuple[float, float | None]], top: float) -> str:
    steps, is_drawing = [], False
    for place, (x, value) in enumerate(points):
        if value is not None:
            is_alone = not is_drawing and (place + 1 == len(points) or points[place + 1][1] is None)
            # A single point between gaps is a dash, or it would hardly be seen.
            steps.append(f"{'L' if is_drawing else 'M'}{x - 4 * is_alone:.1f} {_y(value, top):.1f}{' h8' * is_alone}")
        is_drawing = value is not None
    return " ".join(steps)


def _width(labels: Sequence[str]) -> float:
    return round(_ROOM / max(1, len(labels)), 2)


def _x(place: float, width: float) -> float:
    return round(_LEFT + place * width + 1, 1)


def _y(value: float, top: float) -> float:
    return round(_TOP + _DEPTH * (1 - value / top), 1)


def _round_up(value: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= value * 0.9999)
