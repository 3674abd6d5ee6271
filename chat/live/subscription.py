"""What one page shows, as the feed hands it what is new."""

import asyncio
from typing import Any

from chat.models import Conversation


class Subscription:
    """A page's open conversation: what it was sent, and what waits to be sent."""

    def __init__(self, conversation_id: int, after: int) -> None:
        self.conversation_id = conversation_id
        self.floor = after
        """The page has every message up to this id."""
        self.state: dict[str, Any] = {}
        """The last state, with the id of the agent who holds the conversation."""
        self.shown: dict[str, Any] = {}
        """The last state as it was sent."""
        self.waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sent: set[int] = set()

    @property
    def agent_id(self) -> Any:
        return self.state.get("agent_id")

    @property
    def has_person(self) -> bool:
        """Whether a person answers, or is asked for."""
        return self.state.get("state") in (Conversation.State.WAITING, Conversation.State.PERSON)

    def take(self, message_id: int) -> bool:
        """Note that the page has a message; return whether it is new to it."""
        if message_id <= self.floor or message_id in self._sent:
            return False
        self._sent.add(message_id)
        return True

    def take_all(self, upto: int) -> None:
        """Note that the page has, or is about to get, every message up to this id."""
        self.floor = max(self.floor, upto)
        self._sent = {message_id for message_id in self._sent if message_id > self.floor}
