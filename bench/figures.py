"""Timings and the table they are printed in."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any, Self

Work = Callable[[int], Awaitable[Any]]
"""Does the work once; it gets the number of the round."""

HEADINGS = ("what", "ours p50", "p95", "floor p50", "p95", "ratio", "goal")
_LINE = "{:<34} {:>12} {:>10} {:>12} {:>10} {:>7}  {}"


@dataclass(frozen=True, kw_only=True)
class Spread:
    p50: float
    p95: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        cuts = quantiles(values, n=20, method="inclusive")
        return cls(p50=cuts[9], p95=cuts[18])


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What the ratio of the two medians should be at most, or with `is_least` at least."""

    ratio: float
    is_least: bool = False

    def says(self, ratio: float) -> str:
        is_met = ratio >= self.ratio if self.is_least else ratio <= self.ratio
        return f"{'>=' if self.is_least else '<='} {self.ratio:g}  {'ok' if is_met else 'over'}"


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What our own median and 95th percentile should stay below."""

    p50: float
    p95: float

    def says(self, ours: Spread) -> str:
        is_met = ours.p50 < self.p50 and ours.p95 < self.p95
        return f"< {self.p50:g}, < {self.p95:g}  {'ok' if is_met else 'over'}"


@dataclass(frozen=True, kw_only=True)
class Added:
    """How much slower than the floor our own median should be at most."""

    ms: float

    def says(self, ours: Spread, floor: Spread) -> str:
        added = ours.p50 - floor.p50
        return f"+{self.ms:g} ms  {'ok' if added <= self.ms else 'over'} ({added:+.2f})"


@dataclass(frozen=True, kw_only=True)
class Row:
    what: str
    ours: Spread
    floor: Spread
    goal: Goal | Limit | Added | None = None
    unit: str = "ms"
    has_p95: bool = True

    def __str__(self) -> str:
        def shown(spread: Spread) -> tuple[str, str]:
            digits = 3 if spread.p50 < 10 else 1
            return f"{spread.p50:.{digits}f} {self.unit}", f"{spread.p95:.{digits}f}" if self.has_p95 else ""

        ratio = self.ours.p50 / self.floor.p50
        if isinstance(self.goal, Limit):
            verdict = self.goal.says(self.ours)
        elif isinstance(self.goal, Added):
            verdict = self.goal.says(self.ours, self.floor)
        else:
            verdict = self.goal.says(ratio) if self.goal else "-"
        return _LINE.format(self.what, *shown(self.ours), *shown(self.floor), f"{ratio:.2f}x", verdict)


def heading() -> str:
    return _LINE.format(*HEADINGS)


async def interleaved(ours: Work, floor: Work, *, rounds: int) -> tuple[Spread, Spread]:
    """Time both in turn, so that what else the machine does falls on both; who goes first alternates."""
    times: dict[Work, list[float]] = {ours: [], floor: []}
    for number in range(rounds):
        for work in (ours, floor) if number % 2 else (floor, ours):
            started = time.perf_counter()
            await work(number)
            times[work].append((time.perf_counter() - started) * 1000)
    return Spread.of(times[ours]), Spread.of(times[floor])


def say(text: str) -> None:
    print(text, flush=True)
