"""What nobody answered: a person who is late or gone loses the conversation, and the bot answers what was left."""

import logging
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.utils import timezone, translation

from chat.access.callers import Caller
from chat.errors import ConversationConflict, KeyForbidden
from chat.handover import actions, notices
from chat.models import Conversation, HandoverSettings, Message
from chat.turns.engine import answer
from chat.turns.turn import Question
from common.background import finish_spawned
from common.dispatch import enqueue

logger = logging.getLogger(__name__)

_LOOK_AFTER, _GIVE_UP_AFTER = timedelta(seconds=30), timedelta(minutes=10)
"""After a conversation changed hands: when the task was lost, and when an answer would come too late."""


def take_back() -> None:
    """Let the bot go on where a person left the customer too long, and let wait what nobody holds any more."""
    if after := HandoverSettings.load().unanswered_after:
        late = Conversation.objects.unanswered_by_person(timezone.now() - after)
        for pk in late.values_list("pk", flat=True):
            actions.return_from_person(pk)
    held = Conversation.objects.filter(state=Conversation.State.PERSON)
    agents = get_user_model()._default_manager.filter(pk__in=held.values("agent"))
    for agent in agents:
        actions.release_agent(agent)
    for pk in held.filter(agent=None).values_list("pk", flat=True):
        actions.return_from_agent(pk, None)


def enqueue_forgotten() -> None:
    """Enqueue again what the bot is to answer after a person, where the broker lost it or the model failed."""
    now = timezone.now()
    forgotten = Conversation.objects.unanswered_by_bot(now - _LOOK_AFTER)
    for pk in forgotten.filter(state_changed_at__gt=now - _GIVE_UP_AFTER).values_list("pk", flat=True):
        if not enqueue(actions.ANSWER_UNANSWERED, pk, otherwise=f"conversation {pk} waits for the next sweep"):
            return


async def answer_last(conversation_id: int) -> bool:
    """Answer the customer's last message, which is stored; return False if it is not, or not any more, the bot's.

    Raise what the engine raises.
    """
    conversation = await Conversation.objects.filter(pk=conversation_id).afirst()
    if conversation is None or conversation.unanswered_since is None:
        return False
    said = conversation.messages.exclude(role=Message.Role.NOTICE)
    last = await said.select_related("api_key").order_by("-pk").afirst()
    if last is None or last.role != Message.Role.USER:
        return False
    question = Question(
        user_id=conversation.user_id, message=last.text, conversation_id=conversation_id, stored_id=last.pk,
        context=last.context, caller=Caller.of_stored(conversation.user_id, last.api_key),
    )  # fmt: skip
    try:
        with translation.override(notices.language_of(conversation)):
            await answer(question)
    except ConversationConflict:
        return False
    except KeyForbidden as error:  # as it would have been refused at once, had nobody held the conversation
        logger.warning("The message %d is not answered: %s", last.pk, error.code)
        return False
    await finish_spawned()
    return True
