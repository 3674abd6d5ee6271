"""Record the plans that PostgreSQL uses for the ranking statements of a search."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection

_LONG_LITERAL = re.compile(r"'[\[{][-0-9.,:e]{40,}[\]}](?:/\d+)?'")
_SCAN = re.compile(r"(?:Index(?: Only)? Scan using|Bitmap Index Scan on|Seq Scan on) ([^\s]+)")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The query plan of one ranking statement."""

    text: str
    """The output of EXPLAIN (ANALYZE, BUFFERS), without the vectors."""
    scanned: tuple[str, ...]
    """The indexes that were used, and the tables that were scanned sequentially."""
    planning_ms: float
    execution_ms: float


@contextmanager
def recorded_plans() -> Iterator[list[Plan]]:
    """Yield a list to which the plan of each ranking statement run in the block, on this connection, is added.

    Each statement runs a second time, under EXPLAIN (ANALYZE, BUFFERS), so timings taken in the block are wrong.
    """
    plans: list[Plan] = []

    def explain(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql.lstrip().startswith("WITH ") and "retrieval_chunk" in sql:
            execute(f"EXPLAIN (ANALYZE, BUFFERS) {sql}", params, many, context)
            plans.append(_plan("\n".join(line for (line,) in context["cursor"].fetchall())))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield plans


def _plan(text: str) -> Plan:
    return Plan(
        text=_LONG_LITERAL.sub("'[…]'", text),
        scanned=tuple(dict.fromkeys(_SCAN.findall(text))),
        planning_ms=_time("Planning", text),
        execution_ms=_time("Execution", text),
    )


def _time(phase: str, text: str) -> float:
    found = re.search(rf"{phase} Time: ([\d.]+) ms", text)
    return float(found[1]) if found else 0.0
