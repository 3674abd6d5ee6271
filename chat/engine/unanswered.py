"""What nobody answered: a person who is late or gone loses the conversation, and the bot answers what was left."""

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q
from django.utils import timezone, translation

from chat.access.callers import Caller
from chat.conversations.open_questions import open_questions
from chat.dispatch import enqueue_answer
from chat.engine.answering import answer
from chat.errors import (
    ConversationConflict,
    ConversationNotFound,
    CostBudgetExhausted,
    HandoverOff,
    KeyForbidden,
    UserTokenRefused,
)
from chat.handover import actions, notices
from chat.models import Conversation, HandoverSettings, reasons
from chat.turns.turn import Question
from common.background import finish_spawned
from common.errors import InvalidInput, NotFound

logger = logging.getLogger(__name__)

_LOOK_AFTER, _GIVE_UP_AFTER = timedelta(seconds=30), timedelta(minutes=10)
"""After a conversation changed hands: when the task was lost, and when the customer is told that no answer comes."""
_TOO_OLD = timedelta(days=1)
"""What was left so long ago is not spoken of; the customer's next message is asked together with it."""
_FINAL = (KeyForbidden, UserTokenRefused, InvalidInput, NotFound)
"""Errors that another attempt would end with, too: the message would have been refused when it came."""

State = Conversation.State


def take_back() -> None:
    """Let the bot go on where a person left the customer too long, and let wait what nobody holds any more."""
    if after := HandoverSettings.load().unanswered_after:
        late = Conversation.objects.unanswered_by_person(timezone.now() - after)
        for pk in late.values_list("pk", flat=True):
            _unless_deleted(actions.return_from_person, pk)
    held = Conversation.objects.filter(state=State.PERSON)
    agents = get_user_model()._default_manager.filter(pk__in=held.values("agent"))
    for agent in agents:
        actions.release_agent(agent)
    for pk in held.filter(agent=None).values_list("pk", flat=True):
        _unless_deleted(actions.return_from_agent, pk, None)


def enqueue_forgotten() -> None:
    """Enqueue again what the bot is to answer after a person, where the broker lost it or the model failed.

    After ten minutes a person is asked for instead.
    """
    now = timezone.now()
    forgotten = Conversation.objects.unanswered_by_bot(now - _LOOK_AFTER)
    is_due = Q(state_changed_at__gt=now - _GIVE_UP_AFTER)
    is_given_up = ~is_due & Q(state=State.BOT, state_changed_at__gt=now - _TOO_OLD)
    for pk in forgotten.filter(is_given_up).values_list("pk", flat=True):
        give_up(pk)
    for pk in forgotten.filter(is_due).values_list("pk", flat=True):
        if not enqueue_answer(pk):
            return


def give_up(conversation_id: int, *, is_final: bool = False) -> None:
    """Say that the bot cannot answer what was left to it, and ask for a person, unless one is asked for already.

    The customer's next message is asked together with it, and until a person comes the bot goes on trying; neither if
    it is final.
    """
    with transaction.atomic():
        conversation = Conversation.objects.lock(conversation_id)
        if conversation is None or conversation.unanswered_since is None:
            return
        if is_final:
            _forget(conversation)
        if conversation.state == State.BOT:
            notices.notify_not_answered(conversation)
            try:
                actions.escalate(conversation_id, reasons.NOT_ANSWERED)
            except HandoverOff:  # nobody comes, and nobody is told again
                notices.notify_no_person(conversation)
                _forget(conversation)


async def answer_last(conversation_id: int) -> bool:
    """Answer what the customer wrote last, which is stored; return False if it is not, or not any more, the bot's.

    Raise what the engine raises, where another attempt may help.
    """
    conversation = await Conversation.objects.filter(pk=conversation_id).afirst()
    is_left = conversation is not None and conversation.unanswered_since is not None
    if conversation is None or not is_left or conversation.state not in (State.BOT, State.WAITING):
        return False
    left = await sync_to_async(open_questions)(conversation_id)
    if not left:
        await sync_to_async(_forget_unless_asked)(conversation_id)
        return False
    last = left[-1]  # it is asked together with those before it
    question = Question(
        user_id=conversation.user_id, message=last.text, conversation_id=conversation_id, stored_id=last.pk,
        context=last.context, caller=Caller.of_stored(conversation.user_id, last.api_key),
    )  # fmt: skip
    try:
        with translation.override(notices.language_of(conversation)):
            await answer(question)
    except (ConversationConflict, ConversationNotFound):
        return False
    except CostBudgetExhausted:  # which a period ends, and no minutes; POST /chat would have said so at once
        logger.warning("The message %d is not answered: %s", last.pk, CostBudgetExhausted.code)
        await sync_to_async(give_up)(conversation_id)
        return False
    except _FINAL as error:
        logger.warning("The message %d is not answered: %s", last.pk, error.code)
        await sync_to_async(give_up)(conversation_id, is_final=True)
        return False
    finally:
        await finish_spawned()
    return True


def _forget_unless_asked(conversation_id: int) -> None:
    """Note that nothing is left to answer, as where the customer sent no more than an address."""
    with transaction.atomic():
        conversation = Conversation.objects.lock(conversation_id)
        if conversation and conversation.state != State.PERSON and not open_questions(conversation_id):
            _forget(conversation)


def _forget(conversation: Conversation) -> None:
    conversation.unanswered_since = None
    conversation.save(update_fields=["unanswered_since"])


def _unless_deleted(work: Callable[..., object], *args: Any) -> None:
    """Call what changes a conversation, which may have been deleted since it was found."""
    with suppress(ConversationNotFound):
        work(*args)
