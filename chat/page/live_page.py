"""The live part of an open chat page: its conversation, what is new in it, and who is typing."""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.db import DatabaseError

from chat.handover import actions
from chat.live.broadcast import broadcast
from chat.live.feed import feed, read_missed
from chat.live.groups import conversation_group
from chat.live.subscription import Subscription
from chat.models import Conversation, Message
from common.background import repeat, spawn, with_own_thread

logger = logging.getLogger(__name__)

_MOST_MISSED = 200
_EVERY_S = 1.0
_IDLE, _ASKING, _ANSWERING = range(3)
_ANSWERED = (Message.Role.USER, Message.Role.ASSISTANT)

Send = Callable[[dict[str, Any]], Awaitable[None]]


class LivePage:
    """Send a page what others do in its conversation; `send` takes an event of the layer, without its origin.

    While the page asks, messages wait, and while it is answered, questions and answers: its own reach it otherwise.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._origin = uuid.uuid4().hex
        self._page: Subscription | None = None
        self._forwarding: asyncio.Task[None] | None = None
        self._held: list[dict[str, Any]] = []
        self._phase = _IDLE
        self._has_new_state = False
        """Whether a state came since the page asked."""
        self._last: dict[str, float] = {}

    @property
    def conversation_id(self) -> int | None:
        return self._page.conversation_id if self._page else None

    async def open(self, conversation_id: int, user_id: str, after: int, bot: str) -> None:
        """Show a conversation of the user's with a bot: send what came after a message, and from now on what is new.

        Raise ConversationNotFound.
        """
        await with_own_thread(sync_to_async(actions.check_own)(conversation_id, user_id, bot))
        self._show(Subscription(conversation_id, after), reads_missed=True)

    def hold(self) -> None:
        """Keep back messages, since the page asks something."""
        self._phase = _ASKING
        self._has_new_state = False

    def begin_answer(self, conversation_id: int, question_id: int | None, *, is_reopened: bool) -> None:
        """Note the page's own question; a conversation that it began is shown from now on."""
        if self.conversation_id != conversation_id:
            # In one that goes on where a closed one ended, a line that says so comes before the question.
            after = 0 if is_reopened else (question_id or 0)
            self._show(Subscription(conversation_id, after), reads_missed=is_reopened)
        self._take(question_id)
        self._phase = _ANSWERING

    async def release(self, answer_id: int | None = None, state: str | None = None) -> None:
        """Send what was kept back, but for the page's own answer, which told it of a `state`.

        A state that came meanwhile may be a later one: the page, which shows what it was told last, gets it again.
        """
        self._take(answer_id)
        self._phase = _IDLE
        held, self._held = self._held, []
        for event in held:
            if self._page and event.get("conversation_id") == self._page.conversation_id:
                await self._pass_on(self._page, event)
        if self._page and self._page.shown and state is not None:
            self._page.shown |= {"state": state}
            if self._has_new_state:
                await self._send_state(self._page)

    def is_too_soon(self, kind: str) -> bool:
        """Return whether the page sent the same kind of frame less than a second ago."""
        now = time.monotonic()
        if now - self._last.get(kind, -_EVERY_S) < _EVERY_S:
            return True
        self._last[kind] = now
        return False

    async def publish_typing(self) -> None:
        """Tell the person who answers, or will, that the customer is typing."""
        page = self._page
        if page and page.state.get("state", Conversation.State.BOT) != Conversation.State.BOT:
            event = {"type": "typing", "conversation_id": page.conversation_id, "author": None, "origin": self._origin}
            await broadcast(conversation_group(page.conversation_id), event)

    async def _send_state(self, page: Subscription) -> None:
        """Send who answers, and whether they are there, if it is new to the page."""
        told = {name: value for name, value in page.state.items() if name != "agent_id"}
        shown = told | {"is_here": await (await feed()).people.is_here(page)}
        if shown != page.shown:
            page.shown = shown
            await self._send(shown)

    def close(self) -> None:
        if self._forwarding:
            self._forwarding.cancel()
        if self._page:
            spawn(_leave(self._page), uses_database=False)
        self._page = self._forwarding = None
        self._held = []

    def _show(self, page: Subscription, *, reads_missed: bool) -> None:
        self.close()
        self._page = page
        self._forwarding = asyncio.ensure_future(self._forward(page, reads_missed=reads_missed))

    def _take(self, message_id: int | None) -> None:
        if self._page and message_id is not None:
            self._page.take(message_id)

    async def _forward(self, page: Subscription, *, reads_missed: bool) -> None:
        await (await feed()).listen(page)
        if reads_missed:
            try:
                missed = await with_own_thread(
                    sync_to_async(read_missed)(page.conversation_id, page.floor, _MOST_MISSED)
                )
            except DatabaseError as error:  # the feed's next look finds the same
                logger.warning("What a page has missed could not be read: %s", type(error).__name__)
                missed = []
            for event in missed:
                await self._handle(page, event)
        await repeat(partial(self._handle_next, page))

    async def _handle_next(self, page: Subscription) -> None:
        await self._handle(page, await page.waiting.get())

    async def _handle(self, page: Subscription, event: dict[str, Any]) -> None:
        is_message = event["type"] == "message"
        is_own_kind = is_message and event["message"]["role"] in _ANSWERED
        if (
            (self._phase == _ASKING and is_message)
            or (self._phase == _ANSWERING and is_own_kind)
            or (self._held and event["type"] == "upto")
        ):
            self._held.append(event)
        else:
            await self._pass_on(page, event)

    async def _pass_on(self, page: Subscription, event: dict[str, Any]) -> None:
        """Send an event that is new to the page."""
        kind = event["type"]
        if kind == "upto":
            page.take_all(event["id"])
        elif kind == "message":
            if page.take(event["message"]["id"]):
                await self._send(event)
        elif kind == "state":
            page.state, self._has_new_state = event, True
            await self._send_state(page)
        elif kind == "presence":
            await self._send_state(page)
        elif event.get("origin") != self._origin:
            await self._send({name: value for name, value in event.items() if name != "origin"})


async def _leave(page: Subscription) -> None:
    await (await feed()).leave(page)
