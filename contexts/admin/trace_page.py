"""Contents of a trace's page: its stored body, with links to the documents and chunks that still exist."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString

from common.admin.html import admin_url, duration, pretty, short
from common.definitions import add_once
from common.links import page_link
from common.markdown import ALL_SOURCES, render
from contexts.admin.trace_grounding import grounding_of
from contexts.models import Trace, TraceBody
from contexts.traces import digest_of
from features.models import FeatureValue
from retrieval.models import Chunk, Document, DocumentVersion

_COLOURS = 8

Panel = Callable[[HttpRequest, Trace], SafeString | str]

_panels: list[Panel] = []


def register_panel(panel: Panel) -> Panel:
    """Show what a function returns below the answer on each trace's page: for an app that knows more of the answer."""
    add_once(_panels, panel)
    return panel


def panels_of(request: HttpRequest, trace: Trace) -> list[SafeString | str]:
    return [shown for panel in _panels if (shown := panel(request, trace))]


def trace_page(trace: Trace) -> dict[str, Any]:
    """Return the template's context; for a trace without a body, only the row is shown."""
    text = TraceBody.objects.filter(pk=trace.pk).values_list("text", flat=True).first()
    body = json.loads(text) if text else {}
    links = _Links(body)
    return {
        "has_body": text is not None,
        "is_verified": text is not None and digest_of(text) == trace.digest,
        "raw": pretty(body),
        "answer": render(trace.answer or "", ALL_SOURCES),
        "items": [_item(item, links) for item in body.get("items", [])],
        "budget": _budget(trace, body),
        "features": [_feature(read) for read in body.get("features", [])],
        "freshness": _freshness(body.get("freshness")),
        "retrievers": [
            {**call, "shown_arguments": short(call.get("arguments", {}), 300), "took": _ms(call.get("duration_ms"))}
            for call in body.get("retrievers", [])
        ],
        "rewrite": _rewrite(body.get("rewrite")),
        "searches": [_search(search, links) for search in body.get("searches", [])],
        "inner": [{"id": inner_id, "url": admin_url(Trace, inner_id)} for inner_id in body.get("contexts", [])],
        "messages": body.get("messages") or [],
        "inputs": [(name, value) for name, value in body.get("inputs", {}).items() if name not in ("query", "user_id")],
        "defined_at": body.get("defined_at", ""),
        "error": body.get("error"),
        "timings": _timings(trace, body),
        "outcome": _outcome(trace),
        "grounding": grounding_of(trace),
    }


class _Links:
    """URLs of the hits' documents and chunks; "" for those deleted since."""

    def __init__(self, body: dict[str, Any]) -> None:
        hits = [hit for search in body.get("searches", []) for hit in search.get("hits", [])]
        chunks = {hit.get("chunk_id") for hit in hits}
        self.version_of = {hit.get("chunk_id"): hit.get("version_id") for hit in hits}
        self.chunks = set(Chunk.objects.filter(pk__in=chunks).values_list("pk", flat=True)) if chunks else set()
        versions = DocumentVersion.objects.filter(pk__in=set(self.version_of.values()))
        self.documents = dict(versions.values_list("pk", "document_id")) if chunks else {}

    def chunk(self, chunk_id: Any) -> str:
        """Return the URL of the chunk, or of the version that it was cut from, or ""."""
        if chunk_id in self.chunks:
            return admin_url(Chunk, chunk_id)
        version = self.version_of.get(chunk_id)
        return admin_url(DocumentVersion, version) if version in self.documents else ""

    def document(self, version_id: Any) -> str:
        return admin_url(Document, self.documents[version_id]) if version_id in self.documents else ""

    def version(self, version_id: Any) -> str:
        return admin_url(DocumentVersion, version_id) if version_id in self.documents else ""


def _item(item: dict[str, Any], links: _Links) -> dict[str, Any]:
    kind, _, number = (item.get("source_id") or "").partition(":")
    url = links.chunk(int(number)) if kind == "chunk" and number.isdecimal() else ""
    position = item.get("position", 0)
    return {
        **item,
        "number": position + 1,
        "colour": position % _COLOURS,
        "url": url,
        "beginning": short(item.get("content", ""), 110),
    }


def _budget(trace: Trace, body: dict[str, Any]) -> dict[str, Any]:
    """Return the stacked bar: one part per kept item, then the tokens that join them, then the unused rest."""
    budget = body.get("budget") or {}
    whole = max(trace.max_tokens, trace.tokens, 1)
    parts = [
        {
            "colour": item["position"] % _COLOURS,
            "percent": f"{100 * item['tokens'] / whole:.2f}",
            "title": f"Item {item['position'] + 1}: {item['tokens']:,} tokens, {short(item['content'], 80)}",
        }
        for item in body.get("items", [])
        if item["kept"] and item["tokens"]
    ]
    return {
        **budget,
        "parts": parts,
        "percent": f"{100 * trace.tokens / max(trace.max_tokens, 1):.1f}",
        "left": max(0, trace.max_tokens - trace.tokens),
        "is_over": trace.tokens > trace.max_tokens,
        "joining": trace.tokens - sum(item["tokens"] for item in body.get("items", []) if item["kept"]),
    }


def _feature(read: dict[str, Any]) -> dict[str, Any]:
    at = read.get("event_timestamp")
    return {
        **read,
        "shown_value": short(read.get("value"), 200),
        "whole_value": pretty(read.get("value")),
        "age": duration(read.get("age_s")),
        "true_at": f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M:%S}" if at else "–",
        "url": admin_url(FeatureValue, read["value_id"]) if read.get("value_id") else "",
    }


def _freshness(report: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return each violation's age in per cent of the oldest, and the limit on the same scale."""
    if report is None:
        return None
    longest = max((violation["age_s"] or 0 for violation in report["violations"]), default=0) or 1
    return {
        "sla": duration(report["sla_s"]),
        "strict": report["strict"],
        "limit_percent": f"{min(100.0, 100 * report['sla_s'] / longest):.1f}",
        "violations": [
            {
                **violation,
                "age": "no value" if violation["age_s"] is None else duration(violation["age_s"]),
                "percent": f"{100 if violation['age_s'] is None else 100 * violation['age_s'] / longest:.1f}",
            }
            for violation in report["violations"]
        ],
    }


def _rewrite(rewrite: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what became of the follow-up's rewriting; None where none was asked for."""
    return rewrite and {**rewrite, "took": _ms(rewrite.get("duration_ms"))}


def _search(search: dict[str, Any], links: _Links) -> dict[str, Any]:
    hits = search.get("hits", [])
    best = max((hit.get("score") or 0 for hit in hits), default=0) or 1
    history = (search.get("options") or {}).get("history") or []
    return {
        **search,
        "shown_filters": short(search["filters"], 200) if search.get("filters") else "",
        "earlier": [asked for asked in history if not asked.get("rewritten")],
        "rewritten": next((asked["question"] for asked in history if asked.get("rewritten")), ""),
        "took": " + ".join(
            f"{_ms(search.get(name))} {what}" for name, what in (("embed_ms", "embedding"), ("sql_ms", "SQL"))
        ),
        "hits": [
            {
                **hit,
                "rank": rank,
                "percent": f"{max(0, 100 * (hit.get('score') or 0) / best):.1f}",
                "page_url": page_link((hit.get("metadata") or {}).get("url")),
                "document_url": links.document(hit.get("version_id")),
                "version_url": links.version(hit.get("version_id")),
                "chunk_url": links.chunk(hit.get("chunk_id")),
                "is_gone": hit.get("chunk_id") not in links.chunks,
            }
            for rank, hit in enumerate(hits, 1)
        ],
    }


def _timings(trace: Trace, body: dict[str, Any]) -> list[dict[str, Any]]:
    timings = body.get("timings_ms", {})
    function, assembly = timings.get("function"), timings.get("assembly", trace.duration_ms)
    rows = [("assembly, whole", assembly)]
    if function is not None:
        rows.append(("its function: features and searches", function))
    if rewrite := body.get("rewrite"):
        rows.append(("rewriting the question", rewrite.get("duration_ms")))
    for search in body.get("searches", []):
        if not search.get("is_cached"):
            rows += [
                (f"embedding for {search['index']}", search.get("embed_ms")),
                (f"SQL in {search['index']}", search.get("sql_ms")),
            ]
    latency = (trace.outcome or {}).get("latency_ms")
    if latency is not None:
        rows.append(("question to answer", latency))
    longest = max((ms or 0 for _, ms in rows), default=0) or 1
    return [{"name": name, "took": _ms(ms), "percent": f"{100 * (ms or 0) / longest:.1f}"} for name, ms in rows]


def _outcome(trace: Trace) -> dict[str, Any]:
    outcome = dict(trace.outcome or {})
    usage = outcome.pop("usage", None) or {}
    latency = outcome.pop("latency_ms", None)
    cost = usage.pop("cost_usd", None)
    return {
        "usage": [
            (name.replace("_", " "), f"{value:,}" if isinstance(value, int) else value) for name, value in usage.items()
        ],
        "latency": _ms(latency),
        "cost": None if cost is None else f"{cost:.6f} US$",
        "rest": [
            (name.replace("_", " "), ", ".join(map(str, value)) if isinstance(value, list) else value)
            for name, value in outcome.items()
            if name not in ("grounding", "written", "attempts") and value not in (None, "", [])
        ],
    }


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f} ms" if value < 1000 else f"{value / 1000:,.2f} s"
