"""The header that tells whether a context kept its `freshness_sla`."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

HEADER = "X-Fabra-Freshness"
_MOST_NAMES = 20
_MOST_CHARS = 100


def freshness_headers(report: dict[str, Any] | None) -> dict[str, str]:
    """Return `ok`, or `violated; features=a,b; documents=c`; nothing where no limit was declared.

    Names are percent-encoded, and of each kind the first twenty are told; the trace has all.
    """
    if report is None:
        return {}
    violations = report["violations"]
    if not violations:
        return {HEADER: "ok"}
    kinds = [(kind, [each["name"] for each in violations if each["kind"] == kind]) for kind in ("feature", "document")]
    return {HEADER: "; ".join(["violated", *(f"{kind}s={_listed(names)}" for kind, names in kinds if names)])}


def _listed(names: Iterable[str]) -> str:
    return ",".join(quote(name[:_MOST_CHARS], safe="") for name in list(dict.fromkeys(names))[:_MOST_NAMES])
