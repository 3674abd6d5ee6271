"""Panels of lines over time, as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT, _COLUMNS = 460, 250, 2
_LEFT, _TOP, _RIGHT, _BOTTOM = 56, 34, 104, 30
_COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#db2777", "#65a30d", "#475569")


@dataclass(frozen=True, kw_only=True)
class Panel:
    title: str
    unit: str
    minutes: Sequence[float]
    lines: dict[str, list[float]]


def picture(panels: Sequence[Panel]) -> str:
    rows = -(-len(panels) // _COLUMNS)
    width, height = _COLUMNS * _WIDTH, rows * _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11"><rect width="{width}" height="{height}" fill="white"/>'
    ]
    for number, panel in enumerate(panels):
        x, y = number % _COLUMNS * _WIDTH, number // _COLUMNS * _HEIGHT
        parts.append(f'<g transform="translate({x} {y})">{_panel(panel)}</g>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel) -> str:
    most = _nice(max((max(values) for values in panel.lines.values()), default=1.0))
    last = max(panel.minutes) or 1.0
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    unit = f", {panel.unit}" if panel.unit else ""
    parts = [f'<text x="{_LEFT}" y="18" font-size="13" font-weight="bold">{panel.title}{unit}</text>']
    for step in range(5):
        y = _TOP + height - height * step / 4
        parts.append(f'<path d="M{_LEFT} {y:.1f}h{width}" stroke="#e2e8f0"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(most * step / 4)}</text>')
        x = _LEFT + width * step / 4
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 12}" text-anchor="middle">{last * step / 4:.0f}</text>')
    parts.append(f'<text x="{_LEFT + width + 8}" y="{_HEIGHT - 12}">min</text>')
    for number, (name, values) in enumerate(panel.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(
            f"{_LEFT + width * minute / last:.1f},{_TOP + height - height * value / most:.1f}"
            for minute, value in zip(panel.minutes, values, strict=True)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        y = _TOP + 12 + 16 * number
        parts.append(f'<text x="{_LEFT + width + 10}" y="{y}" fill="{colour}">{name}</text>')
    return "".join(parts)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def _nice(value: float) -> float:
    """Return the end of an axis that shows the value: 1, 2, 4, 6 or 8 times a power of ten, or ten of it."""
    power = 1.0
    while power * 10 < value:
        power *= 10
    return next((power * step for step in (1, 2, 4, 6, 8, 10) if power * step >= value), value)
