"""The names of the layer's groups: who listens to what."""

INBOX = "inbox"
"""Agents, who see that a conversation's state or last message has changed."""

ANSWERS = "answers"
"""Web processes, which stop the answers that they are giving in a conversation."""

PEOPLE = "people"
"""Web processes, whose pages show whether their agents are there."""


def conversation_group(conversation_id: int) -> str:
    """Return the group of the pages that show a conversation."""
    return f"conversation.{conversation_id}"
