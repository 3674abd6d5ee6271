"""Golden questions from traces: a user's question with those before it, and the first document that the model saw."""

import json
from dataclasses import dataclass
from typing import Any

from common.text import single_line
from contexts.models import Trace, TraceBody
from retrieval.models import GoldenQuestion, Index
from retrieval.models.golden import question_digest
from retrieval.search.query import QUERY_MAX_CHARS


@dataclass(frozen=True, kw_only=True)
class GoldenProposal:
    """A golden question as a trace suggests it: asked as the context asked it."""

    index: Index
    question: str
    filters: dict[str, Any]
    audience: list[str]
    history: list[str]
    """The questions before it, the oldest first."""
    found: list[str]
    """The documents that were found, those that the model saw first."""

    @property
    def digest(self) -> str:
        return question_digest(self.question, self.filters, self.audience, self.history)


def propose_golden(trace: Trace) -> GoldenProposal | None:
    """Return what a trace suggests; None if none of its searches' indexes exists now, or its question is too long."""
    text = TraceBody.objects.filter(pk=trace.pk).values_list("text", flat=True).first()
    body = json.loads(text) if text else {}
    for search in body.get("searches", []):
        index = Index.objects.filter(name=search["index"]).first()
        if index is not None and trace.query.strip() and len(trace.query) <= QUERY_MAX_CHARS:
            options = search.get("options") or {}
            audience = options.get("audience")
            # What a model made of the question is no part of it: another run may rewrite it otherwise.
            before = [asked["question"] for asked in options.get("history") or [] if not asked.get("rewritten")]
            return GoldenProposal(
                index=index,
                question=trace.query,
                filters=search.get("filters") or {},
                audience=audience if isinstance(audience, list) else [],
                history=[single_line(question) for question in before],
                found=_found(search, body),
            )
    return None


def keep_as_golden(trace: Trace) -> GoldenQuestion | None:
    """Return the golden question of a trace, created if missing; None if the trace suggests none.

    A new one is disabled, because its expected document is a guess until somebody has reviewed it.
    """
    proposal = propose_golden(trace)
    if proposal is None:
        return None
    row, _ = GoldenQuestion.objects.get_or_create(
        index=proposal.index,
        digest=proposal.digest,
        defaults={
            "question": proposal.question,
            "history": proposal.history,
            "filters": proposal.filters,
            "audience": proposal.audience,
            "expected_documents": proposal.found[:1],
            "tags": ["trace"],
            "is_enabled": False,
        },
    )
    return row


def _found(search: dict[str, Any], body: dict[str, Any]) -> list[str]:
    """Return the documents of the hits that the budget kept, then the others, each once."""
    kept = {item.get("source_id") for item in body.get("items", []) if item.get("kept")}
    hits = search.get("hits", [])
    # The sort is stable: the hits stay in their order.
    ordered = sorted(hits, key=lambda hit: f"chunk:{hit.get('chunk_id')}" not in kept)
    return list(dict.fromkeys(hit["document_id"] for hit in ordered))
