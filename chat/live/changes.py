"""Tell open pages of what was committed: new messages, changed states, typing."""

import asyncio
from typing import Any

from chat.live.bodies import message_body, state_body
from chat.live.broadcast import broadcast, broadcast_on_commit
from chat.live.groups import ANSWERS, INBOX, conversation_group
from chat.models import Conversation, Message
from common.background import HEAD_START_S, spawn


def message_event(message: Message) -> dict[str, Any]:
    return {"type": "message", "conversation_id": message.conversation_id, "message": message_body(message)}


def state_event(conversation: Conversation) -> dict[str, Any]:
    """Return who answers, with the agent's id: a page gets in its place whether they are there."""
    return {"type": "state", **state_body(conversation), "agent_id": conversation.agent_id}


def publish_message(message: Message) -> None:
    """Send a message to the pages that show its conversation, after the caller's transaction."""
    broadcast_on_commit(conversation_group(message.conversation_id), message_event(message))


def publish_state(conversation: Conversation) -> None:
    """Send the state to the pages that show the conversation, and to the agents, after the caller's transaction."""
    broadcast_on_commit(conversation_group(conversation.pk), state_event(conversation))
    publish_inbox(conversation)


def stop_bot(conversation: Conversation) -> None:
    """End the answer that the bot is giving, after the caller's transaction; without Redis it is dropped at its end.

    Messages that are not stored yet are not stopped: they are the person's.
    """
    broadcast_on_commit(ANSWERS, {"type": "stop", "conversation_id": conversation.pk, "is_taken_over": True})


def publish_inbox(conversation: Conversation) -> None:
    """Tell the agents that a conversation's state or last message has changed, after the caller's transaction."""
    broadcast_on_commit(INBOX, {"type": "inbox", **state_body(conversation)})


def publish_deletion(conversation_id: int) -> None:
    """Tell the agents that a conversation was deleted, after the caller's transaction."""
    broadcast_on_commit(INBOX, {"type": "gone", "conversation_id": conversation_id})


def show_soon(message: Message) -> None:
    """Send a stored message to the pages that show its conversation, in a task of the running loop."""
    spawn(_show(message), uses_database=False, after_s=HEAD_START_S)


async def _show(message: Message) -> None:
    event = await asyncio.to_thread(message_event, message)  # it renders Markdown
    await broadcast(conversation_group(message.conversation_id), event)
