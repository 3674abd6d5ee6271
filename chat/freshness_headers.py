"""The response header that reports whether a context met its `freshness_sla`."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

HEADER = "X-Fabra-Freshness"
_MOST_NAMES = 20
_MOST_CHARS = 100


def freshness_headers(report: dict[str, Any] | None) -> dict[str, str]:
    """Return the header with `ok` or `violated; features=a,b; documents=c`; {} if no limit was declared.

    Names are percent-encoded. Only the first twenty of each kind are listed; the trace has all.
    """
    if report is None:
        return {}
    violations = report["violations"]
    if not violations:
        return {HEADER: "ok"}
    names = {
        kind: [violation["name"] for violation in violations if violation["kind"] == kind]
        for kind in ("feature", "document")
    }
    return {HEADER: "; ".join(["violated", *(f"{kind}s={_listed(late)}" for kind, late in names.items() if late)])}


def _listed(names: Iterable[str]) -> str:
    return ",".join(quote(name[:_MOST_CHARS], safe="") for name in list(dict.fromkeys(names))[:_MOST_NAMES])
