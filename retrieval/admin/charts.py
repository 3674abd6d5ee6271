"""Draw charts as inline SVG."""

from collections.abc import Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

_WIDTH, _HEIGHT = 960.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 12.0, 10.0, 26.0


def line_chart(labels: Sequence[str], series: dict[str, Sequence[float]], links: Sequence[str]) -> SafeString | str:
    """Draw values from 0 to 1 as lines, with one linked point for each label; return "" without labels."""
    if not labels:
        return ""
    steps = [0.0, 0.25, 0.5, 0.75, 1.0]
    grid = format_html_join(
        "",
        '<line class="fb-grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="fb-axis" x="{}" y="{}">{}</text>',
        ((_LEFT, _WIDTH - _RIGHT, _y(step), _y(step), 4, _y(step) + 4, f"{step:g}") for step in steps),
    )
    label_step = max(1, -(-len(labels) // 12))
    names = format_html_join(
        "",
        '<text class="fb-axis" text-anchor="middle" x="{}" y="{}">{}</text>',
        ((_x(n, len(labels)), _HEIGHT - 6, label) for n, label in enumerate(labels) if n % label_step == 0),
    )
    lines = format_html_join("", "{}", ((_line(n, *named, labels, links),) for n, named in enumerate(series.items())))
    legend = format_html_join(
        "",
        '<span class="fb-legend"><span class="fb-dot fb-c{}"></span>{}</span>',
        ((_colour(number), name) for number, name in enumerate(series)),
    )
    return format_html(
        '<div class="fb-legends">{}</div><svg class="fb-chart" viewBox="0 0 {} {}" role="img">{}{}{}</svg>',
        legend, _WIDTH, _HEIGHT, grid, names, lines,
    )  # fmt: skip


def _line(number: int, name: str, values: Sequence[float], labels: Sequence[str], links: Sequence[str]) -> SafeString:
    points = [(_x(n, len(values)), _y(value)) for n, value in enumerate(values)]
    dots: Any = format_html_join(
        "",
        '<a href="{}"><circle class="fb-s{}" cx="{}" cy="{}" r="4"><title>{}</title></circle></a>',
        ((links[n], _colour(number), x, y, f"{name} {values[n]:.4f}, {labels[n]}") for n, (x, y) in enumerate(points)),
    )
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return format_html('<polyline class="fb-s{}" points="{}"/>{}', _colour(number), path, dots)


def _colour(number: int) -> int:
    return (0, 2, 5, 6)[number % 4]


def _x(index: int, count: int) -> float:
    width = _WIDTH - _LEFT - _RIGHT - 40
    return round(_LEFT + 20 + width * (index / (count - 1) if count > 1 else 0.5), 1)


def _y(value: float) -> float:
    return round(_TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value), 1)
