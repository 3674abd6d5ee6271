"""Answer a message: limit, context, model, evidence. REST and WebSocket both come here."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection
from django.db.models import Model
from django.utils import timezone

from chat import limits
from chat.admission import Admission
from chat.citations import Citation, mark_cited, passages_in
from chat.errors import DeadlineExceeded, InvalidMessage, MessageTooLong
from chat.models import Conversation, Message
from chat.providers import Completion, Delta, Prompt, Provider, cost_usd, get_provider
from chat.resolve_context import chat_context, require_context
from common.background import HEAD_START_S, spawn
from common.errors import FabraError
from common.sql.rows import Statement
from common.validation import check_key, check_text
from contexts import traces
from contexts.errors import TraceNotWritten
from contexts.items import Context
from contexts.models import Trace
from events.dispatch import dispatch, queue_of
from events.event import AxiomEvent
from events.models import Event
from events.outbox import new_event
from features import registry
from features.online import one_view
from features.serving import read_features

logger = logging.getLogger(__name__)

MESSAGE_SENT = "message_sent"


@dataclass(frozen=True, kw_only=True)
class Question:
    user_id: str
    message: str
    conversation_id: int | None = None

    def validate(self) -> "Question":
        """Return the question; raise InvalidInput, InvalidMessage or MessageTooLong."""
        check_key(self.user_id, "user_id")
        if not check_text(self.message, "message").strip():
            raise InvalidMessage("message must not be empty.")
        if len(self.message) > settings.FABRA_MESSAGE_MAX_CHARS:
            raise MessageTooLong(f"message must have at most {settings.FABRA_MESSAGE_MAX_CHARS} characters.")
        return self


@dataclass(frozen=True, kw_only=True)
class Answer:
    response: str
    context_used: str
    context_id: str
    conversation_id: int
    citations: list[Citation]
    usage: dict[str, Any]
    model: str
    is_extractive: bool
    flags: list[str]
    """What was degraded on the way, such as `feature_degraded:user_tier`."""
    freshness: dict[str, Any] | None
    """What the context's `freshness_sla` found; None without one."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "response": self.response,
            "context_used": self.context_used,
            "context_id": self.context_id,
            "conversation_id": self.conversation_id,
            "citations": [citation.to_dict() for citation in self.citations],
            "usage": self.usage,
            "model": self.model,
            "extractive": self.is_extractive,
            "flags": self.flags,
        }


@dataclass(kw_only=True)
class Turn:
    """One message on its way to its answer."""

    question: Question
    admission: Admission
    provider: Provider
    deadline: float
    """On the loop's clock."""
    context: Context = field(default_factory=Context)
    message: Message | None = None
    """The user's, written with the trace, as its event is."""
    event: Event | None = None
    started: float = field(default_factory=time.perf_counter)
    parts: list[str] = field(default_factory=list)

    @property
    def context_id(self) -> str:
        return self.context.id

    @property
    def conversation_id(self) -> int:
        assert self.message is not None
        return self.message.conversation.pk


async def begin(question: Question) -> Turn:
    """Let the message in and commit its evidence; what is left is the model's part.

    Raise InvalidInput for a bad message, RateLimited, or what the assembly raises; a failure on our side is
    not counted against the user's limit.
    """
    question.validate()
    deadline = asyncio.get_running_loop().time() + settings.FABRA_CHAT_DEADLINE_S
    with one_view():  # the limit and the context know the user as of one moment
        admission = await limits.admit(question.user_id, await _tier_of(question.user_id))
        turn = Turn(question=question, admission=admission, provider=get_provider(), deadline=deadline)
        scope = traces.AssemblyScope(
            messages=lambda content: _messages(content, question),
            also_save=_saver(turn),
            # A chat waits seconds for its model; its database connection serves others meanwhile.
            on_commit=None if turn.provider.is_extractive else lambda: connection.close(),
        )
        token = traces.scope.set(scope)
        try:
            turn.context = await assemble(question, deadline)
        except Exception:
            await limits.refund(admission)
            raise
        finally:
            traces.scope.reset(token)
    assert turn.event is not None
    # The broker is told while the model thinks; should this process end before, the sweep tells it.
    told = asyncio.to_thread(dispatch, turn.event.pk, queue_of(MESSAGE_SENT))
    spawn(told, uses_database=False, after_s=HEAD_START_S)
    return turn


async def assemble(question: Question, deadline: float | None = None) -> Context:
    """Assemble the chat's context; raise DeadlineExceeded, or what the assembly raises."""
    if deadline is None:
        deadline = asyncio.get_running_loop().time() + settings.FABRA_CHAT_DEADLINE_S
    async with _within(deadline):
        return require_context(await chat_context()(question.user_id, question.message))


async def run(turn: Turn, *, is_streamed: bool) -> AsyncGenerator[str | Answer, None]:
    """Yield the answer's text as it comes, then the Answer, which is committed before it leaves."""
    evidence = turn.context.evidence
    prompt = Prompt(messages=evidence["messages"], question=turn.question.message, passages=passages_in(evidence))
    completion: Completion | None = None
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
    except FabraError as error:
        logger.warning("The answer of the trace %s failed (%s): %s", turn.context_id, error.code, error)
        await limits.refund(turn.admission)
        await _save_failure(turn, error.code)
        raise
    except (asyncio.CancelledError, GeneratorExit):
        # The client went away. What was told to it stays on record; the write outlives this task.
        spawn(_save_failure(turn, "client_disconnected"))
        raise
    # Outside of the try: whoever stops reading here has the whole answer.
    yield result


async def answer(question: Question) -> tuple[Answer, Admission]:
    """Answer a message in one piece."""
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


def _messages(content: str, question: Question) -> traces.Messages:
    return [{"role": "system", "content": content}, {"role": "user", "content": question.message}]


def _saver(turn: Turn) -> Callable[[Trace], list[Model | Statement]]:
    """Return what makes the rows that are written with the trace: the message, its event, a new conversation."""

    def rows(trace: Trace) -> list[Model | Statement]:
        if turn.message is not None:  # a context around another: the outer one is what the model sees
            return [("UPDATE chat_message SET trace_id = %s WHERE id = %s", [trace.pk, turn.message.pk])]
        question = turn.question
        conversation = _known_conversation(question) or Conversation(user_id=question.user_id)
        turn.message = Message(
            conversation=conversation, user_id=question.user_id, role=Message.Role.USER, text=question.message,
            trace=trace,
        )  # fmt: skip
        payload = {"context_id": str(trace.pk)}
        sent = AxiomEvent(event_type=MESSAGE_SENT, entity_id=question.user_id, payload=payload)
        turn.event = new_event(sent, Event.Source.CHAT)
        writes: list[Model | Statement] = [] if conversation.pk else [conversation]
        writes += [turn.message, turn.event]
        if turn.admission.is_degraded:  # from here on the message itself is counted
            writes.append(("DELETE FROM chat_reservation WHERE token = %s", [turn.admission.token]))
        return writes

    return rows


def _known_conversation(question: Question) -> Conversation | None:
    """Return the user's conversation that the question names, now their latest one."""
    if question.conversation_id is None:
        return None
    known = Conversation.objects.filter(pk=question.conversation_id, user_id=question.user_id)
    return Conversation(pk=question.conversation_id) if known.update(last_message_at=timezone.now()) else None


async def _finish(turn: Turn, completion: Completion, passages: list[Citation]) -> Answer:
    text = "".join(turn.parts)
    citations = mark_cited(passages, text)
    usage = {
        "context_tokens": turn.context.tokens,
        "max_tokens": turn.context.max_tokens,
        **(completion.usage or {}),
        "cost_usd": cost_usd(completion.model, completion.usage),
    }
    result = Answer(
        response=text,
        context_used=turn.context.content,
        context_id=turn.context.id,
        conversation_id=turn.conversation_id,
        citations=citations,
        usage=usage,
        model=completion.model,
        is_extractive=turn.provider.is_extractive,
        flags=turn.context.evidence["flags"] + (["rate_limit_degraded"] if turn.admission.is_degraded else []),
        freshness=turn.context.freshness,
    )
    outcome = {
        "usage": usage,
        "finish_reason": completion.finish_reason,
        "latency_ms": _ms_since(turn.started),
        "citations": [citation.number for citation in citations if citation.is_cited],
    }
    await sync_to_async(_save_answer)(turn, result, outcome)
    return result


def _save_answer(turn: Turn, result: Answer, outcome: dict[str, Any]) -> None:
    message = Message(
        conversation_id=turn.conversation_id,
        user_id=turn.question.user_id,
        role=Message.Role.ASSISTANT,
        text=result.response,
        trace_id=result.context_id,
        citations=[citation.to_dict() for citation in result.citations],
    )
    traces.write_outcome(result.context_id, answer=result.response, model=result.model, outcome=outcome, more=[message])


async def _save_failure(turn: Turn, code: str) -> None:
    """Note in the trace that no whole answer left; where PostgreSQL is down the trace stays `assembled`."""
    outcome = {"latency_ms": _ms_since(turn.started), "error": code}
    try:
        await sync_to_async(traces.write_outcome)(
            turn.context_id, answer="".join(turn.parts), model=turn.provider.model, outcome=outcome, error_code=code
        )
    except TraceNotWritten:
        logger.error("The failure %s of the trace %s could not be noted.", code, turn.context_id)


@asynccontextmanager
async def _within(deadline: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError as error:
        raise DeadlineExceeded from error


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
