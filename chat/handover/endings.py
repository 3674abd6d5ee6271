"""What ends by the clock: a wait that is too long, and a conversation of people that nobody goes on with.

The sweep calls it every few seconds; what it finds is checked again under each conversation's lock.
"""

from contextlib import suppress

from django.utils import timezone

from chat.errors import ConversationNotFound
from chat.handover import actions, notices
from chat.handover.steps import State, locked
from chat.models import Conversation, HandoverSettings


def end_waits() -> None:
    """Tell customers that nobody has come, and close what nobody wrote in for days."""
    now, row = timezone.now(), HandoverSettings.load()
    if after := row.wait_told_after:
        for pk in Conversation.objects.waiting_untold(now - after).values_list("pk", flat=True):
            with suppress(ConversationNotFound):  # deleted meanwhile
                warn_nobody_came(pk)
    if after := row.close_after:
        for pk in Conversation.objects.of_people_idle(now - after).values_list("pk", flat=True):
            with suppress(ConversationNotFound):
                actions.close_idle(pk)


def warn_nobody_came(conversation_id: int) -> None:
    """Tell a customer who waits that nobody has come, once."""
    with locked(conversation_id) as conversation:
        if conversation.state == State.WAITING and not conversation.is_wait_told:
            conversation.is_wait_told = True
            conversation.save(update_fields=["is_wait_told"])
            notices.notify_nobody_came(conversation)
