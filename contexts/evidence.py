"""Build an assembly's trace and its body, the evidence."""

import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from common.errors import FabraError
from contexts.budget import Budgeted
from contexts.conversation import ConversationHistory
from contexts.freshness import FreshnessReport
from contexts.items import ContextItem, Escalation, HistoryItem
from contexts.models import Trace
from contexts.recorder import Recorder
from contexts.registry import ContextSpec
from contexts.suspicion import suspicions_of
from contexts.tokens import Tokenizer
from contexts.window import ContextWindow

BODY_FORMAT = 1
SUSPICIOUS = "suspicious_passage"
"""The flag of a trace with a passage that speaks to the model; the item says how."""

NEUTRAL_FLAGS: set[str] = set()
"""Flags that report nothing degraded; whoever sets them adds them here."""

HISTORY_LEFT_OUT = "history_left_out"
"""The flag of a context that handed on another one, which had not been given the conversation."""


@dataclass(kw_only=True)
class Assembly:
    """The state of one assembly, from which its trace is built."""

    spec: ContextSpec
    inputs: dict[str, Any]
    max_tokens: int
    recorder: Recorder
    tokenizer: Tokenizer
    id: str
    started: float
    """By `time.perf_counter()`, in seconds."""
    conversation: ConversationHistory | None = None
    function_ms: float = 0.0
    flags: list[str] = field(default_factory=list)
    window: ContextWindow | None = None
    """The window of the model that a chat asks; None if it is not known."""
    prompt_tokens: int | None = None
    """Counted only where the window is known."""
    quoted: frozenset[int] = frozenset()
    """The positions of the items that others wrote: they are fenced, in the user's part of the messages."""
    freshness: FreshnessReport | None = None
    escalation: Escalation | None = None

    def elapsed_ms(self) -> float:
        return round((time.perf_counter() - self.started) * 1000, 3)


def evidence_of(work: Assembly, budgeted: Budgeted) -> dict[str, Any]:
    """Return the evidence: all that the model will see, and why. The caller of the model sets `messages`."""
    query = work.inputs.get("query")
    suspicions = [
        list(suspicions_of(decision.item.content)) if position in work.quoted else []
        for position, decision in enumerate(budgeted.decisions)
    ]
    if any(suspicions):
        work.flags.append(SUSPICIOUS)
    return _head(work) | {
        "items": [
            {
                "position": position,
                "content": decision.item.content,
                "priority": decision.item.priority,
                "required": decision.item.required,
                "source_id": decision.item.source_id,
                "tokens": decision.tokens,
                "kept": decision.is_kept,
                "reason": decision.reason,
                "part": _part(decision.item, is_quoted=position in work.quoted),
                "suspicions": suspicions[position],
            }
            for position, decision in enumerate(budgeted.decisions)
        ],
        "budget": {
            "max_tokens": work.max_tokens,
            "tokens": budgeted.tokens,
            "prompt_tokens": work.prompt_tokens,
            "question_tokens": work.tokenizer.count(query) if isinstance(query, str) else None,
            "encoding": work.tokenizer.encoding,
            "encoding_is_exact": work.tokenizer.is_exact,
            "model": work.spec.model,
            "overflow": budgeted.is_over,
        },
        "messages": None,
    }


def _part(item: ContextItem, *, is_quoted: bool) -> str:
    """Return the part of the messages in which the item stands."""
    return "history" if isinstance(item, HistoryItem) else "user" if is_quoted else "system"


def trace_of(work: Assembly, body: dict[str, Any]) -> Trace:
    kept = sum(item["kept"] for item in body.get("items", []))
    return Trace(
        id=uuid.UUID(work.id),
        context=work.spec.name,
        user_id=str(work.inputs.get("user_id", ""))[:255],
        query=str(work.inputs.get("query", "")),
        max_tokens=work.max_tokens,
        tokens=body.get("budget", {}).get("tokens", 0),
        kept=kept,
        dropped=len(body.get("items", [])) - kept,
        duration_ms=body["timings_ms"]["assembly"],
        flags=body["flags"],
        version_ids=work.recorder.version_ids(),
        model=work.spec.model,
    )


def failure_of(work: Assembly, error: Exception) -> tuple[dict[str, Any], Trace]:
    """Return the evidence and the trace of a failed assembly."""
    work.function_ms = work.function_ms or work.elapsed_ms()
    code = error.code if isinstance(error, FabraError) else "context_failed"
    evidence = _head(work) | {"error": {"code": code, "type": type(error).__name__}}
    trace = trace_of(work, evidence)
    trace.state, trace.error_code = Trace.State.FAILED, code
    return evidence, trace


def _head(work: Assembly) -> dict[str, Any]:
    return {
        "format": BODY_FORMAT,
        "context_id": work.id,
        "context": work.spec.name,
        "defined_at": str(work.spec.location),
        "created_at": datetime.now(UTC).isoformat(),
        "inputs": {name: value if isinstance(value, str) else repr(value) for name, value in work.inputs.items()},
        **work.recorder.to_dict(),
        "flags": work.flags + work.recorder.flags(),
        "freshness": work.freshness.to_dict() if work.freshness else None,
        "escalation": work.escalation.reason if work.escalation else None,
        "timings_ms": {"function": work.function_ms, "assembly": work.elapsed_ms()},
    }
