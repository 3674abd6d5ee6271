"""Charts over time as inline SVG; each column tells its figures under the pointer."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
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
        height = 0.0
        for each in series:
            if value := each.values[place]:
                height += value
                bars.append((each.tone, _x(place, width), _y(height, top), max(1.0, width - 2), _DEPTH * value / top))
    shapes = format_html_join("", '<rect class="fb-t-{}" x="{}" y="{}" width="{}" height="{}"/>', bars)
    return _chart(labels, series, write, top, shapes)


def line_chart(labels: Sequence[str], series: Sequence[Series], write: Callable[[float], str]) -> SafeString:
    """Draw a line for each series; where a value is missing it is broken."""
    top = _round_up(max((value for each in series for value in each.values if value is not None), default=0))
    width = _ROOM / max(1, len(labels))
    shapes = format_html_join(
        "",
        '<path class="fb-t-{}" d="{}"/>',
        (
            (each.tone, _path([(_x(n, width) + width / 2, v) for n, v in enumerate(each.values)], top))
            for each in series
        ),
    )
    return _chart(labels, series, write, top, shapes)


def _chart(
    labels: Sequence[str], series: Sequence[Series], write: Callable[[float], str], top: float, shapes: SafeString
) -> SafeString:
    grid = format_html_join(
        "",
        '<line class="fb-grid" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<text class="fb-axis" text-anchor="end" x="{}" y="{}">{}</text>',
        (
            (_LEFT, _WIDTH - _RIGHT, _y(top * part, top), _y(top * part, top), _LEFT - 6, _y(top * part, top) + 4,
             write(top * part))
            for part in (0, 0.5, 1)
        ),
    )  # fmt: skip
    width, every = _width(labels), max(1, -(-len(labels) // 10))
    names = format_html_join(
        "",
        '<text class="fb-axis" text-anchor="middle" x="{}" y="{}">{}</text>',
        ((_x(n + 0.5, width), _HEIGHT - 6, label) for n, label in enumerate(labels) if n % every == every // 2),
    )
    told = format_html_join(
        "",
        '<rect class="fb-told" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
        ((_x(n, width), _TOP, width, _DEPTH, _told(n, label, series, write)) for n, label in enumerate(labels)),
    )
    legend = format_html_join(
        "",
        '<span class="fb-legend"><span class="fb-dot fb-t-{}"></span>{}</span>',
        ((each.tone, each.name) for each in series),
    )
    return format_html(
        '<div class="fb-legends">{}</div><svg class="fb-chart fb-over-time" viewBox="0 0 {} {}" role="img">{}</svg>',
        legend, _WIDTH, _HEIGHT, grid + shapes + names + told,
    )  # fmt: skip


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
