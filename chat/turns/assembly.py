"""What a question is answered from, and who answers it: its context, and a model, small talk or "I do not know"."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from django.conf import settings

from chat.access.audiences import audiences_of
from chat.errors import DeadlineExceeded
from chat.providers import Provider, get_provider
from chat.providers.not_known import NOT_KNOWN, NotKnownProvider
from chat.small_talk.detection import SmallTalk
from chat.small_talk.reply import SmallTalkProvider
from chat.turns.prompt import messages_of
from chat.turns.resolve_context import call_chat_context, model_of, require_context
from chat.turns.turn import Question
from contexts.conversation import ConversationHistory
from contexts.items import Context
from contexts.recorder import Recorder
from retrieval.search.audience import searching_for


async def assemble(
    question: Question, history: ConversationHistory | None = None, deadline: float | None = None
) -> Context:
    """Assemble the chat's context; raise DeadlineExceeded, or what the assembly raises."""
    if deadline is None:
        deadline = asyncio.get_running_loop().time() + settings.FABRA_CHAT_DEADLINE_S
    async with _within(deadline):
        with searching_for(list if question.caller.is_site else partial(audiences_of, question.user_id)):
            called = await call_chat_context(
                question.user_id, question.asked, history, name=question.context, index=question.index
            )
        return require_context(called, question.context)


async def provider_for(
    question: Question, context: Context, recorder: Recorder, talk: SmallTalk | None = None
) -> Provider:
    """Return who answers, and complete the evidence with the messages that it gets."""
    if talk is not None:
        context.evidence["messages"] = []
        return SmallTalkProvider(talk)
    if recorder.is_below_thresholds():
        context.evidence["messages"] = []  # no model is asked
        context.evidence["flags"].append(NOT_KNOWN)
        return NotKnownProvider()
    context.evidence["messages"] = messages_of(context, question.asked)
    return await get_provider(first_model(question, context.evidence["context"]))


def first_model(question: Question, context: str) -> str:
    """Return the model that is asked first: the bot's, or the context's, or "" for the first that is configured."""
    return question.model or model_of(context)


@asynccontextmanager
async def _within(deadline: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError as error:
        raise DeadlineExceeded from error
