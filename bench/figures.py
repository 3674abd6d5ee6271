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
class Bound:
    """What our own figure should be at most, or with `is_least` at least, whatever the floor is."""

    value: float
    is_least: bool = False

    def says(self, ours: Spread) -> str:
        is_met = ours.p50 >= self.value if self.is_least else ours.p50 <= self.value
        return f"{'>=' if self.is_least else '<='} {self.value:g}  {'ok' if is_met else 'over'}"


@dataclass(frozen=True, kw_only=True)
class Row:
    what: str
    ours: Spread
    floor: Spread | None = None
    """None for a figure that nothing bounds."""
    goal: Goal | Limit | Added | Bound | None = None
    unit: str = "ms"
    has_p95: bool = True

    @classmethod
    def of_value(cls, what: str, value: float, goal: Bound, *, floor: float | None = None, unit: str = "") -> Self:
        """Return the row of one figure, such as a share."""
        bound = None if floor is None else Spread(p50=floor, p95=0)
        return cls(what=what, ours=Spread(p50=value, p95=0), floor=bound, goal=goal, unit=unit, has_p95=False)

    def __str__(self) -> str:
        def shown(spread: Spread | None) -> tuple[str, str]:
            if spread is None:
                return "-", ""
            digits = 3 if spread.p50 < 10 else 1
            return f"{spread.p50:.{digits}f} {self.unit}", f"{spread.p95:.{digits}f}" if self.has_p95 else ""

        ratio = self.ours.p50 / self.floor.p50 if self.floor and self.floor.p50 else None
        verdict = "-"
        if isinstance(self.goal, Limit | Bound):
            verdict = self.goal.says(self.ours)
        elif isinstance(self.goal, Added) and self.floor:
            verdict = self.goal.says(self.ours, self.floor)
        elif isinstance(self.goal, Goal) and ratio is not None:
            verdict = self.goal.says(ratio)
        shown_ratio = "-" if ratio is None else f"{ratio:.2f}x"
        return _LINE.format(self.what, *shown(self.ours), *shown(self.floor), shown_ratio, verdict)


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
