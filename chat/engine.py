"""Answer a message: limit, context, evidence, model. REST and WebSocket both use it."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings

from chat import limits
from chat.admission import Admission
from chat.citations import Citation, mark_cited, passages_in
from chat.errors import DeadlineExceeded
from chat.grounding.answers import CheckedText, check_answer
from chat.history import read_history, room_for_context
from chat.prompt import messages_of
from chat.providers import Completion, Delta, Prompt, cost_usd, get_provider
from chat.records import MESSAGE_SENT, write_answer, write_failure, write_question
from chat.resolve_context import call_chat_context, require_context
from chat.turns import Answer, Question, Turn
from common.background import HEAD_START_S, release_thread, spawn
from common.errors import FabraError
from contexts import traces
from contexts.conversation import ConversationHistory
from contexts.evidence import SUSPICIOUS
from contexts.items import Context
from contexts.recorder import recording
from events.dispatch import dispatch, queue_of
from features import registry
from features.online import one_view
from features.serving import read_features

logger = logging.getLogger(__name__)


async def begin(question: Question) -> Turn:
    """Accept the message and commit its evidence; `run` then calls the model.

    Raise InvalidInput for a bad message, RateLimited, IndexForbidden, UserForbidden, or what the assembly raises; a
    failure on our side is not counted against the user's limit.
    """
    started = time.perf_counter()
    question = question.validate()
    deadline = asyncio.get_running_loop().time() + settings.FABRA_CHAT_DEADLINE_S
    provider = get_provider()
    with one_view():  # the limit and the context share one read of the user's features
        # 1. Count the message against the limits of the user's tier, the address and the API key.
        admission = await limits.admit(question.user_id, await _tier_of(question.user_id), question.caller)
        try:
            # 2. Assemble the context, with the conversation so far; step 3 writes its trace.
            history = await read_history(question)
            with recording(conversation=history, most_tokens=room_for_context(question, history)) as recorder:
                try:
                    context = await assemble(question, history, deadline)
                    question.caller.check_indexes(recorder.searched_indexes())
                except Exception:
                    await traces.write(recorder.pending)  # of contexts that were assembled before the failure
                    raise
            # 3. Commit the evidence, the message and its event.
            context.evidence["messages"] = messages_of(context, question.message)
            message, event = await sync_to_async(write_question)(
                question, context, admission, recorder.pending, frees_connection=not provider.is_extractive
            )
        except Exception:
            await limits.refund(admission)
            raise
    # 4. While the model works, enqueue the event and copy the trace to Redis.
    traces.copy_later(recorder.pending)
    enqueued = asyncio.to_thread(dispatch, event.pk, queue_of(MESSAGE_SENT))
    spawn(enqueued, uses_database=False, after_s=HEAD_START_S)
    return Turn(
        question=question, admission=admission, provider=provider, context=context, deadline=deadline, message=message,
        event=event, started=started,
    )  # fmt: skip


async def assemble(
    question: Question, history: ConversationHistory | None = None, deadline: float | None = None
) -> Context:
    """Assemble the chat's context; raise DeadlineExceeded, or what the assembly raises."""
    if deadline is None:
        deadline = asyncio.get_running_loop().time() + settings.FABRA_CHAT_DEADLINE_S
    async with _within(deadline):
        return require_context(await call_chat_context(question.user_id, question.message, history))


async def run(turn: Turn, *, is_streamed: bool) -> AsyncGenerator[str | Answer, None]:
    """Yield the answer's text as it arrives, then the Answer, which is committed before it is yielded."""
    evidence = turn.context.evidence
    prompt = Prompt(messages=evidence["messages"], question=turn.question.message, passages=passages_in(evidence))
    completion: Completion | None = None
    if not turn.provider.is_extractive:
        release_thread()
    try:
        async with _within(turn.deadline), aclosing(turn.provider.run(prompt, is_streamed=is_streamed)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                if isinstance(piece, Delta):
                    turn.parts.append(piece.text)
                    yield piece.text
                else:
                    completion = piece
        assert completion is not None
        result = await _finish(turn, completion, prompt.passages)
    except Exception as error:  # whatever goes wrong, ours or theirs, the trace has its outcome
        code = error.code if isinstance(error, FabraError) else "internal_error"
        logger.warning("The answer of the trace %s failed (%s): %s", turn.context_id, code, type(error).__name__)
        await limits.refund(turn.admission)
        await sync_to_async(write_failure)(turn, code)
        raise
    except (asyncio.CancelledError, GeneratorExit):
        # The client disconnected. What it received is still stored; the write outlives this task.
        spawn(sync_to_async(write_failure)(turn, "client_disconnected"))
        raise
    # Outside the try: a caller that stops reading here has the whole answer, so that is no failure.
    yield result


async def answer(question: Question) -> tuple[Answer, Admission]:
    """Return the whole answer to a message, and its admission."""
    turn = await begin(question)
    async with aclosing(run(turn, is_streamed=False)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Answer):
                return piece, turn.admission
    raise AssertionError("run() ends with an Answer or an error")


async def _tier_of(user_id: str) -> Any:
    spec = registry.features.get(settings.FABRA_TIER_FEATURE)
    if spec is None:
        return None
    return (await read_features(spec.entity.name, user_id, [spec.name]))[0].value


async def _finish(turn: Turn, completion: Completion, passages: list[Citation]) -> Answer:
    """Check the answer against its passages, and commit it."""
    written = "".join(turn.parts)
    evidence, is_extractive = turn.context.evidence, turn.provider.is_extractive
    checked = await check_answer(written, passages, evidence, turn.question.message, is_extractive=is_extractive)
    result = _answer_of(turn, completion, passages, checked)
    outcome = {
        "usage": result.usage,
        "finish_reason": completion.finish_reason,
        "latency_ms": turn.elapsed_ms(),
        "citations": [citation.number for citation in result.citations if citation.is_cited],
        "grounding": result.grounding,
        **({"written": written} if written != result.response else {}),
        **({"reasoning": completion.reasoning} if completion.reasoning else {}),
    }
    message = await sync_to_async(write_answer)(turn, result, outcome)
    return replace(result, message_id=message.pk)


def _answer_of(turn: Turn, completion: Completion, passages: list[Citation], checked: CheckedText) -> Answer:
    context = turn.context
    return Answer(
        response=checked.text,
        context_used=context.content,
        context_id=context.id,
        conversation_id=turn.conversation_id,
        citations=mark_cited(passages, checked.text, completion.cited),
        usage={
            "context_tokens": context.tokens,
            "max_tokens": context.max_tokens,
            **(completion.usage or {}),
            "cost_usd": cost_usd(completion.model, completion.usage),
        },
        model=completion.model,
        is_extractive=turn.provider.is_extractive,
        flags=[
            *(flag for flag in context.evidence["flags"] if flag != SUSPICIOUS),  # for the operator only
            *completion.flags,
            *checked.flags,
            *(["rate_limit_degraded"] if turn.admission.is_degraded else []),
        ],
        grounding=checked.to_dict(),
        freshness=context.freshness,
    )


@asynccontextmanager
async def _within(deadline: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError as error:
        raise DeadlineExceeded from error
