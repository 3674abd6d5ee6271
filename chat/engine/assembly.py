"""What a question is answered from, and who answers it: its context, and a model, small talk or "I do not know"."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from django.conf import settings

from chat.answer_flags import NOT_KNOWN
from chat.conversations.history import read_history
from chat.conversations.open_questions import with_open_questions
from chat.conversations.rewriting import rewrite
from chat.engine.window import prompt_of, windows_for
from chat.errors import DeadlineExceeded
from chat.limits.admission import Admission
from chat.providers import Provider, get_provider
from chat.providers.not_known import NotKnownProvider
from chat.providers.window import require_fit
from chat.small_talk.detection import SmallTalk
from chat.small_talk.reply import SmallTalkProvider, small_talk_context, small_talk_of
from chat.spending.calls import Spender
from chat.turns.costs import EarlierCalls
from chat.turns.lease import ConversationLease
from chat.turns.resolve_context import call_chat_context, model_of, require_context
from chat.turns.turn import Question
from common.background import spawn
from contexts import traces
from contexts.conversation import ConversationHistory
from contexts.items import Context
from contexts.recorder import Recorder, recording
from features.request_data import request_data
from retrieval.search.audience import audiences_of_user, searching_for


@dataclass(frozen=True, kw_only=True)
class Prepared:
    question: Question
    """Together with those before it that nobody has answered."""
    history: ConversationHistory
    context: Context
    recorder: Recorder
    provider: Provider
    spender: Spender


async def prepare(
    question: Question, lease: ConversationLease, admission: Admission, calls: EarlierCalls, deadline: float
) -> Prepared:
    """Assemble the question's context, with the conversation so far, and find who answers; nothing of it is stored.

    `calls` gets the calls of models that this takes.
    Raise DeadlineExceeded, MessageTooLong, IndexForbidden, or what the assembly raises.
    """
    question = await with_open_questions(question, lease)
    talk = None if question.open_text else await small_talk_of(question)
    history = await read_history(question) if talk is None else ConversationHistory(query=question.message)
    spender = Spender(user_id=question.user_id, tier=admission.tier, key=question.caller.key)
    rewriting = await rewrite(question.asked, history.turns, spender)
    if rewriting:
        calls.answer = rewriting.answer
        history = replace(history, rewritten=rewriting.text)
    window_of = windows_for(question) if talk is None else None
    with request_data(query=question.asked), recording(conversation=history, window_of=window_of) as recorder:
        try:
            if talk is None:
                context = await assemble(question, history, deadline)
            else:
                context = await small_talk_context(question)
            question.caller.check_indexes(recorder.searched_indexes())
            provider = await provider_for(question, context, recorder, talk)
        except Exception:
            await traces.write(recorder.pending)  # of contexts that were assembled before the failure
            raise
        except asyncio.CancelledError:  # it was stopped, or its client is gone
            spawn(traces.write(recorder.pending))
            raise
    if rewriting:
        context.evidence["rewrite"] = rewriting.to_dict()
        context.evidence["flags"] += rewriting.flags
    spender = replace(spender, context=context.evidence["context"])
    return Prepared(
        question=question, history=history, context=context, recorder=recorder, provider=provider, spender=spender,
    )  # fmt: skip


async def assemble(
    question: Question, history: ConversationHistory | None = None, deadline: float | None = None
) -> Context:
    """Assemble the chat's context; raise DeadlineExceeded, or what the assembly raises."""
    if deadline is None:
        deadline = asyncio.get_running_loop().time() + settings.FABRA_CHAT_DEADLINE_S
    async with _within(deadline):
        with searching_for(list if question.caller.is_site else partial(audiences_of_user, question.user_id)):
            called = await call_chat_context(
                question.user_id, question.asked, history, name=question.context, index=question.index
            )
        return require_context(called, question.context)


async def provider_for(
    question: Question, context: Context, recorder: Recorder, talk: SmallTalk | None = None
) -> Provider:
    """Return who answers, and complete the evidence with the messages that it gets.

    Raise MessageTooLong if they fit no model, as where a context's required items are over its budget.
    """
    if talk is not None:
        context.evidence["messages"] = []
        return SmallTalkProvider(talk)
    if recorder.is_below_thresholds():
        context.evidence["messages"] = []  # no model is asked
        context.evidence["flags"].append(NOT_KNOWN)
        return NotKnownProvider()
    prompt = prompt_of(context, question)
    context.evidence["messages"] = prompt.messages
    provider = await get_provider(question.model or model_of(context.evidence["context"]))
    require_fit(provider.models, prompt)
    return provider


@asynccontextmanager
async def _within(deadline: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError as error:
        raise DeadlineExceeded from error
