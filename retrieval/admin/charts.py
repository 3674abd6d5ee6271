"""Charts as inline SVG, drawn by a template."""

from collections.abc import Sequence

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

_WIDTH, _HEIGHT = 960.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 12.0, 10.0, 26.0


def line_chart(labels: Sequence[str], series: dict[str, Sequence[float]], links: Sequence[str]) -> SafeString | str:
    """Draw values from 0 to 1 as lines, with one linked point for each label; return "" without labels."""
    if not labels:
        return ""
    every = max(1, -(-len(labels) // 12))
    names = [
        {"x": _x(position, len(labels)), "text": label}
        for position, label in enumerate(labels)
        if position % every == 0
    ]
    lines = [
        {
            "name": name,
            "colour": _colour(number),
            "dots": [
                {
                    "x": _x(position, len(values)),
                    "y": _y(value),
                    "link": links[position],
                    "title": f"{name} {value:.4f}, {labels[position]}",
                }
                for position, value in enumerate(values)
            ],
        }
        for number, (name, values) in enumerate(series.items())
    ]
    grid = [{"y": _y(step), "text": f"{step:g}"} for step in (0.0, 0.25, 0.5, 0.75, 1.0)]
    frame = {"width": _WIDTH, "height": _HEIGHT, "left": _LEFT, "right": _WIDTH - _RIGHT}
    return render_to_string("admin/charts/metrics.html", {"grid": grid, "names": names, "lines": lines, **frame})


def _colour(number: int) -> int:
    return (0, 2, 5, 6)[number % 4]


def _x(index: int, count: int) -> float:
    width = _WIDTH - _LEFT - _RIGHT - 40
    return round(_LEFT + 20 + width * (index / (count - 1) if count > 1 else 0.5), 1)


def _y(value: float) -> float:
    return round(_TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value), 1)
