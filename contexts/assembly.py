"""Declared contexts, and how one is assembled: run the function, apply the budget, commit the trace."""

import functools
import inspect
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from asgiref.sync import sync_to_async
from django.conf import settings

from common.background import HEAD_START_S, spawn
from common.calling import call
from common.definitions import Location, Registry
from common.durations import Duration, format_duration, parse_duration
from common.errors import DefinitionError, FabraError
from common.operator_settings import Snapshot
from contexts import recorder, traces
from contexts.budget import Budgeted, apply_budget
from contexts.errors import AssemblyError, BudgetExceeded, ContextDisabled, FreshnessViolation
from contexts.freshness import FreshnessReport, check_freshness
from contexts.items import Context, ContextItem
from contexts.models import ContextDefinition, Trace
from contexts.recorder import Recorder
from contexts.tokens import Tokenizer, tokenizer_for

BODY_FORMAT = 1

online_store = traces.TracedOnlineStore()
operator_settings: Snapshot[dict[str, Any]] = Snapshot(
    lambda: {
        row["name"]: dict(row) for row in ContextDefinition.objects.values("name", "is_enabled", "max_tokens_override")
    }
)


@dataclass(frozen=True, kw_only=True)
class ContextSpec:
    name: str
    function: Callable[..., Any]
    signature: inspect.Signature
    max_tokens: int
    model: str
    overflow: str
    freshness_sla: timedelta | None
    freshness_strict: bool
    description: str
    location: Location


contexts: Registry[ContextSpec] = Registry("context")


def context(
    store: Any = None,
    *,
    name: str | None = None,
    max_tokens: int = 4000,
    model: str | None = None,
    freshness_sla: Duration | None = None,
    freshness_strict: bool = False,
    overflow: Literal["raise", "allow"] = "raise",
) -> Callable[[Callable[..., Any]], Callable[..., Awaitable[Context]]]:
    """Declare a function as a context: it returns ContextItems, and a call returns the assembled Context.

    `model` names whose tokens count (default: FABRA_CHAT_MODEL). What is older than `freshness_sla` is told in
    the trace and in the response's `X-Fabra-Freshness`, with `freshness_strict` it is an error; what age means
    stands in contexts.freshness. A function that returns an assembled Context hands it on as it is,
    with the budget and the freshness_sla that it was assembled under. A call
    raises BudgetExceeded, FreshnessViolation, TraceNotWritten, or what the function raised; each leaves a trace.
    Raise DefinitionError for what cannot work.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Awaitable[Context]]:
        label = name or function.__name__
        if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
            raise DefinitionError(f"max_tokens of {label!r} must be a positive whole number, not {max_tokens!r}.")
        if overflow not in ("raise", "allow"):
            raise DefinitionError(f'overflow of {label!r} must be "raise" or "allow", not {overflow!r}.')
        if freshness_strict and freshness_sla is None:
            raise DefinitionError(f"{label!r} is freshness_strict about nothing; give it a freshness_sla.")
        spec = ContextSpec(
            name=label,
            function=function,
            signature=inspect.signature(function),
            max_tokens=max_tokens,
            model=model or settings.FABRA_CHAT_MODEL,
            overflow=overflow,
            freshness_sla=parse_duration(freshness_sla, f"freshness_sla of {label!r}"),
            freshness_strict=freshness_strict,
            description=inspect.getdoc(function) or "",
            location=Location.of(function),
        )
        contexts.add(label, spec)

        @functools.wraps(function)
        async def assembled(*args: Any, **kwargs: Any) -> Context:
            return await _assemble(spec, args, kwargs)

        assembled.__fabra_context__ = spec  # type: ignore[attr-defined]
        return assembled

    return declare


@dataclass(kw_only=True)
class _Assembly:
    """One assembly on its way to its trace."""

    spec: ContextSpec
    inputs: dict[str, Any]
    max_tokens: int
    recorder: Recorder
    tokenizer: Tokenizer
    id: str
    started: float
    function_ms: float = 0.0
    flags: list[str]
    freshness: FreshnessReport | None = None


async def _assemble(spec: ContextSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Context:
    bound = spec.signature.bind(*args, **kwargs)
    bound.apply_defaults()
    row = (await operator_settings.rows()).get(spec.name, {})
    if not row.get("is_enabled", True):
        raise ContextDisabled(f"The context {spec.name!r} is switched off in the admin.")
    work = _Assembly(
        spec=spec,
        inputs=dict(bound.arguments),
        max_tokens=row.get("max_tokens_override") or spec.max_tokens,
        recorder=Recorder(),
        tokenizer=tokenizer_for(spec.model),
        id=str(uuid.uuid4()),
        started=time.perf_counter(),
        flags=[],
    )
    outer = recorder.current.get()
    token = recorder.current.set(work.recorder)
    try:
        returned = await call(spec.function, *args, **kwargs)
    except Exception as error:
        await sync_to_async(_save_failure)(work, error)
        raise
    finally:
        recorder.current.reset(token)
    work.function_ms = _ms_since(work.started)
    if isinstance(returned, Context) and returned.is_assembled:
        result = returned
    else:
        # Counting, hashing and the commit share one hop to a thread.
        result, digest, text = await sync_to_async(_finish)(work, returned)
        # PostgreSQL has it: whoever asks before Redis does is served from there.
        copied = traces.keep_fast_copy(online_store, work.id, digest, text)
        spawn(copied, uses_database=False, after_s=HEAD_START_S)
    if outer is not None:
        outer.contexts.append(result.id)
    return result


def _finish(work: _Assembly, returned: Any) -> tuple[Context, str, str]:
    try:
        items = _items(work.spec, returned)
        _check_freshness(work)
        budgeted = apply_budget(
            items, work.max_tokens, work.tokenizer.count, allow_overflow=work.spec.overflow == "allow"
        )
    except (BudgetExceeded, FreshnessViolation, AssemblyError) as error:
        _save_failure(work, error)
        raise
    if budgeted.is_over:
        work.flags.append("over_budget")
    body = _body(work, budgeted)
    trace = _trace(work, body)
    text = traces.write_trace(trace, body)
    return (
        Context(
            items=[decision.item for decision in budgeted.decisions if decision.is_kept],
            id=work.id,
            content=budgeted.content,
            tokens=budgeted.tokens,
            max_tokens=work.max_tokens,
            decisions=budgeted.decisions,
            evidence=body,
        ),
        trace.digest,
        text,
    )


def _items(spec: ContextSpec, returned: Any) -> list[ContextItem]:
    items = returned.items if isinstance(returned, Context) else returned
    if not isinstance(items, list | tuple) or not all(isinstance(item, ContextItem) for item in items):
        raise AssemblyError(f"The context {spec.name!r} must return a list of ContextItem, or a Context.")
    return list(items)


def _check_freshness(work: _Assembly) -> None:
    spec = work.spec
    if spec.freshness_sla is None:
        return
    report = work.freshness = check_freshness(work.recorder, spec.freshness_sla, is_strict=spec.freshness_strict)
    work.flags += report.flags()
    if report.violations and spec.freshness_strict:
        names = ", ".join(dict.fromkeys(f"{each.kind} {each.name}" for each in report.violations))
        raise FreshnessViolation(
            f"Older than {format_duration(spec.freshness_sla)}, or without a value: {names}.", report.to_dict()
        )


def _body(work: _Assembly, budgeted: Budgeted) -> dict[str, Any]:
    """Return the evidence: all that the model will see, and why."""
    extra = traces.scope.get()
    query = work.inputs.get("query")
    return _head(work) | {
        "items": [
            {
                "position": place,
                "content": decision.item.content,
                "priority": decision.item.priority,
                "required": decision.item.required,
                "source_id": decision.item.source_id,
                "tokens": decision.tokens,
                "kept": decision.is_kept,
                "reason": decision.reason,
            }
            for place, decision in enumerate(budgeted.decisions)
        ],
        "budget": {
            "max_tokens": work.max_tokens,
            "tokens": budgeted.tokens,
            "question_tokens": work.tokenizer.count(query) if isinstance(query, str) else None,
            "encoding": work.tokenizer.encoding,
            "encoding_is_exact": work.tokenizer.is_exact,
            "model": work.spec.model,
            "overflow": budgeted.is_over,
        },
        "messages": extra.messages(budgeted.content) if extra and extra.messages else None,
    }


def _head(work: _Assembly) -> dict[str, Any]:
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
        "timings_ms": {"function": work.function_ms, "assembly": _ms_since(work.started)},
    }


def _trace(work: _Assembly, body: dict[str, Any]) -> Trace:
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


def _save_failure(work: _Assembly, error: Exception) -> None:
    """Leave a trace of an assembly that failed, with what it had read until then."""
    work.function_ms = work.function_ms or _ms_since(work.started)
    code = error.code if isinstance(error, FabraError) else "context_failed"
    body = _head(work) | {"error": {"code": code, "type": type(error).__name__}}
    trace = _trace(work, body)
    trace.state, trace.error_code = Trace.State.FAILED, code
    token = traces.scope.set(None)  # the caller's rows belong to an assembly that succeeded
    try:
        traces.write_trace(trace, body)
    finally:
        traces.scope.reset(token)


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
