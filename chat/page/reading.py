"""Who chooses another user on the chat page reads what that user said: each opened conversation is an audit entry."""

from typing import Any

from chat.audit.entries import caller_columns, record
from chat.error_descriptions import describe
from chat.errors import ConversationNotFound
from chat.handover.actions import check_own


def check_reading_of_another(meta: dict[str, Any], reader: Any, conversation_id: int, user_id: str, bot: str) -> None:
    """Write the entry, also of a conversation that is not the user's; raise ConversationNotFound for that."""
    caller, status = caller_columns(meta, reader, None), 200
    try:
        check_own(conversation_id, user_id, bot)
    except ConversationNotFound as error:
        status = describe(error)[0]
        raise
    finally:
        if caller is not None:
            target = f"conversation {conversation_id}"
            record(**caller, action="read conversation", target=target, endpoint="chat-socket", status=status)
