"""What follows an answer once it is stored: its cost, other pages, a summary, and the wish for a person."""

import logging

from asgiref.sync import sync_to_async

from chat.conversations.summaries import last_fallen, request_summary
from chat.engine.outbound import escalated, may_escalate
from chat.live.changes import show_soon
from chat.models import Message
from chat.turns.costs import settle_turn
from chat.turns.turn import Answer, Turn

logger = logging.getLogger(__name__)


async def follow_up(turn: Turn, result: Answer, message: Message | None) -> Answer:
    """Do what follows an answer that is stored; return it with what the customer is told besides.

    The answer is given whatever fails here.
    """
    try:
        await settle_turn(turn)
        if message is None:
            return result
        show_soon(message)
        # The next question is offered a summary of the turns that are too far back for it.
        if fallen := await last_fallen(turn):
            await request_summary(turn.conversation_id, fallen, turn.spender)
        return await sync_to_async(escalated)(result, turn) if may_escalate(result, turn) else result
    except Exception as error:
        logger.error("What follows the answer of the trace %s failed: %s", turn.context_id, type(error).__name__)
        return result
