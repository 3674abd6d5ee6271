"""The report of a soak: a page with its figures, and a picture.

What a person has written about a run stands between two marks of the page, and stays when it is written anew.
"""

import platform
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

import psutil

from bench.soak.load import Load
from bench.soak.picture import Panel, picture
from bench.soak.samples import Sample

_MB_AN_HOUR = 10
"""A program that grows by less in the second half is called flat."""
_NOTES, _END = "<!-- Written by hand; `make soak` keeps it. -->", "<!-- What follows is made by `make soak`. -->"


def write_report(folder: Path, samples: list[Sample], load: Load) -> Path:
    """Write soak.md and images/soak.svg; return the page's path."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "images" / "soak.svg").write_text(picture(_panels(samples)))
    path = folder / "soak.md"
    path.write_text(_page(samples, load, notes_of(path)))
    return path


def notes_of(path: Path) -> str:
    """Return what stands between the marks of a page that may not be there yet."""
    text = path.read_text() if path.exists() else ""
    notes, end, _ = text.partition(_NOTES)[2].partition(_END)
    return notes.strip() if end else ""


def _panels(samples: list[Sample]) -> list[Panel]:
    minutes = [sample.at_s / 60 for sample in samples]

    def panel(title: str, unit: str, **lines: Callable[[Sample], float]) -> Panel:
        drawn = {name.replace("_", " "): [of(sample) for sample in samples] for name, of in lines.items()}
        return Panel(title=title, unit=unit, minutes=minutes, lines=drawn)

    programs = sorted({name for sample in samples for name in sample.memory_mb})
    memory = {name: [sample.memory_mb.get(name, 0.0) for sample in samples] for name in programs}
    queues = {name: [float(sample.queues[name]) for sample in samples] for name in samples[0].queues}
    return [
        Panel(title="Memory by program", unit="MB", minutes=minutes, lines=memory),
        Panel(title="Waiting", unit="", minutes=minutes, lines=queues),
        panel("Rows", "", dead=lambda sample: sample.dead_rows),
        panel("Chats", "ms", p50=lambda sample: sample.chat_p50_ms, p95=lambda sample: sample.chat_p95_ms),
        panel("Events", "ms", p50=lambda sample: sample.event_p50_ms, p95=lambda sample: sample.event_p95_ms),
        panel("Stored", "MB", PostgreSQL=lambda sample: sample.database_mb, Redis=lambda sample: sample.redis_mb),
    ]


def _page(samples: list[Sample], load: Load, notes: str) -> str:
    minutes = samples[-1].at_s / 60
    lines = [
        "# Soak", "",
        *textwrap.wrap(
            f"`make soak`, {datetime.now(UTC):%Y-%m-%d}: {minutes:.0f} minutes at {load.chats_a_second:g} chats and "
            f"{load.events_a_second:g} events a second, on {_machine()}. A tenth of the events changes one of 50 "
            "documents; the bot answers without a language model. Chats write events besides. Redis holds the copies "
            "of traces for ten minutes, and what else it has up to its limit.",
            120,
        ), "",
        _NOTES, *(["", notes, ""] if notes else []), _END, "",
        "![Memory, queues, dead rows and latencies over time](images/soak.svg)", "",
        "Memory is the sum of each program's processes, a shared page counted once. *Growth* is the slope over the",
        "second half of the run.", "",
        "| Program | Start, MB | Middle, MB | End, MB | Growth, MB an hour | |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    half = samples[len(samples) // 2 :]
    for name in sorted({name for sample in samples for name in sample.memory_mb}):
        start, middle, end = (_level(part, name) for part in (samples[:4], half[:4], samples[-4:]))
        growth = _slope(half, name)
        verdict = "flat" if growth < _MB_AN_HOUR else "grows"
        lines.append(f"| {name} | {start:.0f} | {middle:.0f} | {end:.0f} | {growth:+.1f} | {verdict} |")
    first, last = samples[: len(samples) // 2], half
    rows: list[tuple[str, Callable[[Sample], float], str]] = [
        ("Chats, p50", lambda sample: sample.chat_p50_ms, "ms"),
        ("Chats, p95", lambda sample: sample.chat_p95_ms, "ms"),
        ("Events to their end, p50", lambda sample: sample.event_p50_ms, "ms"),
        ("Events to their end, p95", lambda sample: sample.event_p95_ms, "ms"),
        ("Waiting in queues and outbox", lambda sample: sum(sample.queues.values()), ""),
        ("Dead rows", lambda sample: sample.dead_rows, ""),
        ("Redis", lambda sample: sample.redis_mb, "MB"),
        ("PostgreSQL's database", lambda sample: sample.database_mb, "MB"),
    ]
    lines += ["", "| Mean of | First half | Second half | Last sample |", "|---|---|---|---|"]
    for name, of, unit in rows:
        figures = [mean(map(of, first)), mean(map(of, last)), of(samples[-1])]
        lines.append(f"| {name} | {' | '.join(f'{figure:,.0f} {unit}'.strip() for figure in figures)} |")
    ended = ", ".join(f"{count:,} × {name}" for name, count in sorted(load.results.items()))
    lines += ["", *textwrap.wrap(f"Requests: {ended}.", 120), ""]
    return "\n".join(lines)


def _machine() -> str:
    memory_gb = psutil.virtual_memory().total / 2**30
    return f"{psutil.cpu_count()} cores and {memory_gb:.0f} GB ({platform.machine()})"


def _level(samples: list[Sample], name: str) -> float:
    return mean(sample.memory_mb.get(name, 0.0) for sample in samples)


def _slope(samples: list[Sample], name: str) -> float:
    """Return the least-squares slope in MB an hour."""
    hours = [sample.at_s / 3600 for sample in samples]
    values = [sample.memory_mb.get(name, 0.0) for sample in samples]
    middle, level = mean(hours), mean(values)
    spread = sum((hour - middle) ** 2 for hour in hours)
    return sum((h - middle) * (v - level) for h, v in zip(hours, values, strict=True)) / spread if spread else 0.0
