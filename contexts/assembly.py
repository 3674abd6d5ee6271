"""Assemble a context: run its function, apply the budget, and write its trace."""

import asyncio
import time
import uuid
from typing import Any

from asgiref.sync import sync_to_async

from common.background import spawn
from common.calling import call
from common.durations import format_duration
from contexts import traces
from contexts.budget import Budgeted, apply_budget
from contexts.conversation import ConversationHistory
from contexts.errors import AssemblyError, BudgetExceeded, ContextDisabled, FreshnessViolation
from contexts.evidence import HISTORY_LEFT_OUT, Assembly, evidence_of, failure_of, trace_of
from contexts.foreign import literals_of
from contexts.frame import FramedPrompt, foreign_positions, frame
from contexts.freshness import check_freshness
from contexts.items import Context, ContextItem, Escalation, HistoryItem
from contexts.recorder import Recorder, current_recorder, recording
from contexts.registry import ContextSpec, operator_settings
from contexts.tokens import tokenizer_for
from contexts.traces import PendingTrace
from features.request_data import request_data
from features.serving import read_features

FEATURES = "features"
"""The parameter that gets the values of the context's feature set."""


async def assemble(spec: ContextSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Context:
    """Return the assembled context of a call; see `contexts.declaration.context` for the errors raised.

    The trace is committed before this returns, unless the caller is recording: see `contexts.recorder.recording`.
    """
    outer = current_recorder()
    kwargs = _with_conversation(spec, args, kwargs, outer)
    reads_features = (
        spec.features is not None and FEATURES not in spec.signature.bind_partial(*args, **kwargs).arguments
    )
    bound = spec.signature.bind(*args, **kwargs, **({FEATURES: None} if reads_features else {}))
    bound.apply_defaults()
    inputs = dict(bound.arguments)
    if reads_features:  # what was read is in the trace by itself
        inputs.pop(FEATURES)
    row = (await operator_settings.rows()).get(spec.name, {})
    if not row.get("is_enabled", True):
        raise ContextDisabled(f"The context {spec.name!r} is switched off in the admin.")
    with recording(outer) as recorder:
        work = Assembly(
            spec=spec,
            inputs=inputs,
            max_tokens=row.get("max_tokens_override") or spec.max_tokens,
            window=await outer.window_of(spec.asked_model) if outer and outer.window_of else None,
            recorder=recorder,
            conversation=outer.conversation if outer else None,
            tokenizer=tokenizer_for(spec.model),
            id=str(uuid.uuid4()),
            started=time.perf_counter(),
        )
        try:
            with request_data(**inputs):
                if reads_features:
                    kwargs = kwargs | {FEATURES: await _features_of(spec, inputs)}
                returned = await call(spec.function, *args, **kwargs)
        except asyncio.CancelledError:
            inner = [recorder.pending.pop() for _ in range(len(recorder.pending))]
            spawn(traces.write(inner))  # in a task of its own, because this one is being cancelled
            raise
        except Exception as error:
            await sync_to_async(_write_failure)(work, error)
            raise
        work.function_ms = work.elapsed_ms()
    if isinstance(returned, Context) and returned.is_assembled:
        result = returned
        if work.conversation and not result.history:
            result.evidence["flags"].append(HISTORY_LEFT_OUT)
    else:
        result, pending = await sync_to_async(_finish)(work, returned)
        recorder.pending.append(pending)
    if outer is None:
        await traces.write(recorder.pending)
    else:
        outer.contexts.append(result.id)
        outer.foreign.update(recorder.foreign)
    return result


def _with_conversation(
    spec: ContextSpec, args: tuple[Any, ...], kwargs: dict[str, Any], outer: Recorder | None
) -> dict[str, Any]:
    """Return the arguments with the conversation, for a function that takes it and was not given it."""
    if "conversation" not in spec.signature.parameters:
        return kwargs
    given = spec.signature.bind_partial(*args, **kwargs).arguments
    if "conversation" in given:
        return kwargs
    if outer and outer.conversation is not None:
        return kwargs | {"conversation": outer.conversation}
    return kwargs | {"conversation": ConversationHistory(query=str(given.get("query", "")))}


async def _features_of(spec: ContextSpec, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the context's feature set by name, for the entity that the call is about."""
    assert spec.features is not None
    entity = spec.features.entity
    reads = await read_features(entity.name, inputs[entity.key], spec.features.features)
    return {read.feature: read.value for read in reads}


def _finish(work: Assembly, returned: Any) -> tuple[Context, PendingTrace]:
    """Apply the budget to what the function returned; runs in a thread, because counting tokens uses the CPU."""
    try:
        own, work.escalation = _items(work.spec, returned)
        items = _with_history(work, own) if own or not work.escalation else []
        _check_freshness(work)
        for conversation in (work.conversation, *work.inputs.values()):
            if isinstance(conversation, ConversationHistory):
                told = [summary.text for summary in conversation.summaries]
                for text in [*told, *(remark.text for remark in conversation.remarks)]:
                    work.recorder.foreign.add(text)
        work.quoted = foreign_positions(items, work.recorder.foreign, literals_of(work.spec.function))
        budgeted, prompt = _fit(work, items)
    except (BudgetExceeded, FreshnessViolation, AssemblyError) as error:
        _write_failure(work, error)
        raise
    if budgeted.is_over:
        work.flags.append("over_budget")
    evidence = evidence_of(work, budgeted)
    context = Context(
        items=[decision.item for decision in budgeted.decisions if decision.is_kept],
        id=work.id,
        content=budgeted.content,
        system=prompt.system,
        history=prompt.history,
        reference=prompt.reference,
        tokens=budgeted.tokens,
        max_tokens=work.max_tokens,
        decisions=budgeted.decisions,
        escalation=work.escalation,
        evidence=evidence,
    )
    return context, PendingTrace(trace=trace_of(work, evidence), body=evidence)


def _fit(work: Assembly, items: list[ContextItem]) -> tuple[Budgeted, FramedPrompt]:
    """Apply the budget, and lower it until the messages, with fences and question, fit the model's window."""
    while True:
        budgeted = apply_budget(
            items, work.max_tokens, work.tokenizer.count, allow_overflow=work.spec.overflow == "allow"
        )
        kept = [position for position, decision in enumerate(budgeted.decisions) if decision.is_kept]
        prompt = frame(
            [items[position] for position in kept],
            [position in work.quoted for position in kept],
            work.recorder.foreign,
        )
        if work.window is None:  # nothing depends on the prompt's length, and counting it takes a millisecond
            return budgeted, prompt
        tokens = work.window.tokens(prompt)
        if tokens <= work.window.message_tokens or budgeted.is_over:
            work.prompt_tokens = work.tokenizer.count(str(prompt))
            return budgeted, prompt
        # By the share that is too much: the model may count other tokens than the budget.
        work.max_tokens = budgeted.tokens - max(1, budgeted.tokens * (tokens - work.window.message_tokens) // tokens)


def _items(spec: ContextSpec, returned: Any) -> tuple[list[ContextItem], Escalation | None]:
    """Return the function's items, and its wish for a person, if it has one."""
    found = returned.items if isinstance(returned, Context) else returned
    found = [found] if isinstance(found, Escalation) else found
    if not isinstance(found, list | tuple) or not all(isinstance(item, ContextItem | Escalation) for item in found):
        raise AssemblyError(f"The context {spec.name!r} must return a list of ContextItem, or a Context.")
    wishes = [item for item in found if isinstance(item, Escalation)]
    return [item for item in found if isinstance(item, ContextItem)], wishes[0] if wishes else None


def _with_history(work: Assembly, items: list[ContextItem]) -> list[ContextItem]:
    """Return the items with the conversation's turns; a function that takes `conversation` adds them itself."""
    is_given = any(isinstance(value, ConversationHistory) for value in work.inputs.values())
    if work.conversation is None or is_given or any(isinstance(item, HistoryItem) for item in items):
        return items
    return [*items, *work.conversation.items()]


def _check_freshness(work: Assembly) -> None:
    spec = work.spec
    if spec.freshness_sla is None:
        return
    report = work.freshness = check_freshness(work.recorder, spec.freshness_sla, is_strict=spec.freshness_strict)
    work.flags += report.flags()
    if report.violations and spec.freshness_strict:
        names = ", ".join(dict.fromkeys(f"{violation.kind} {violation.name}" for violation in report.violations))
        raise FreshnessViolation(
            f"Older than {format_duration(spec.freshness_sla)}, or without a value: {names}.", report.to_dict()
        )


def _write_failure(work: Assembly, error: Exception) -> None:
    """Write the trace of a failed assembly, with what it had read until then, and the traces of its inner contexts."""
    evidence, trace = failure_of(work, error)
    traces.write_traces([*work.recorder.pending, PendingTrace(trace=trace, body=evidence)])
    work.recorder.pending.clear()
