"""Golden questions from traces: a user's question with those before it, and the first document that the model saw."""

import json
from typing import Any

from common.text import single_line
from contexts.models import Trace, TraceBody
from retrieval.models import GoldenQuestion, Index
from retrieval.models.golden import question_digest
from retrieval.search.query import QUERY_MAX_CHARS


def keep_as_golden(trace: Trace) -> GoldenQuestion | None:
    """Return the golden question of a trace, created if missing; None if none of its searches' indexes exists now.

    A new one is disabled, because its expected document is a guess until somebody has reviewed it.
    """
    text = TraceBody.objects.filter(pk=trace.pk).values_list("text", flat=True).first()
    body = json.loads(text) if text else {}
    for search in body.get("searches", []):
        index = Index.objects.filter(name=search["index"]).first()
        if index is not None and trace.query.strip() and len(trace.query) <= QUERY_MAX_CHARS:
            return _golden(index, trace.query, search, body)
    return None


def _golden(index: Index, question: str, search: dict[str, Any], body: dict[str, Any]) -> GoldenQuestion:
    filters = search.get("filters") or {}
    options = search.get("options") or {}
    searched_audience = options.get("audience")
    audience = searched_audience if isinstance(searched_audience, list) else []
    # What a model made of the question is no part of it: another run may rewrite it otherwise.
    asked_before = [asked["question"] for asked in options.get("history") or [] if not asked.get("rewritten")]
    history = [single_line(text) for text in asked_before]
    row, _ = GoldenQuestion.objects.get_or_create(
        index=index,
        digest=question_digest(question, filters, audience, history),
        defaults={
            "question": question,
            "history": history,
            "filters": filters,
            "audience": audience,
            "expected_documents": _first_kept(search, body),
            "tags": ["trace"],
            "is_enabled": False,
        },
    )
    return row


def _first_kept(search: dict[str, Any], body: dict[str, Any]) -> list[str]:
    """Return the document of the first hit that the budget kept, otherwise of the first hit; [] without hits."""
    kept = {item.get("source_id") for item in body.get("items", []) if item.get("kept")}
    hits = search.get("hits", [])
    best = [hit for hit in hits if f"chunk:{hit.get('chunk_id')}" in kept] or hits
    return [best[0]["document_id"]] if best else []
