"""What is new in the conversations that this process's pages show: at once by Redis, and late from PostgreSQL.

Each event loop has one subscription, whatever number of pages is open. Redis may lose what it publishes, and may be
gone; so every few seconds one query asks for what came after the last message that each page has. Messages of one
conversation get their ids under its row's lock, hence in the order of their commits: a page that has a message has all
with lower ids that it was sent, or gets them from the query.

The same look asks Redis who of all the pages' agents is there.
"""

import asyncio
import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, connection

from chat.live.changes import message_event, state_event
from chat.live.channel import GroupChannel
from chat.live.groups import PEOPLE, conversation_group
from chat.live.people import People
from chat.live.subscription import Subscription
from chat.models import Conversation, Message
from common.background import repeat, with_own_thread
from common.per_loop import PerLoop

logger = logging.getLogger(__name__)


class Feed:
    """The subscriptions of one event loop."""

    def __init__(self) -> None:
        self._pages: dict[int, set[Subscription]] = {}
        self._channel: GroupChannel | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.people = People()

    async def listen(self, page: Subscription) -> None:
        """Send to the page what is new in its conversation from now on."""
        self._pages.setdefault(page.conversation_id, set()).add(page)
        groups = [conversation_group(page.conversation_id)]
        if self._channel is None:
            self._channel = channel = GroupChannel()
            look = repeat(partial(self._look, channel), settings.FABRA_LIVE_LOOK_S)
            self._tasks = [asyncio.ensure_future(work) for work in (look, repeat(partial(self._receive, channel)))]
            groups.insert(0, PEOPLE)
        await self._channel.join(groups)  # while Redis is down conversations are only looked at

    async def leave(self, page: Subscription) -> None:
        pages = self._pages.get(page.conversation_id, set())
        pages.discard(page)
        if pages:
            return
        self._pages.pop(page.conversation_id, None)
        self.people.leave(page.conversation_id)
        if self._channel:
            await self._channel.leave(conversation_group(page.conversation_id))
        if not self._pages:
            await self.close()

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        channel, self._channel = self._channel, None
        self.people.forget()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if channel:
            await channel.close()

    async def _receive(self, channel: GroupChannel) -> None:
        event = await channel.receive()
        if event["type"] == "here":
            self.people.hear(event["agent_id"], self._all_pages())
        else:
            self._hand_out(event)

    async def _look(self, channel: GroupChannel) -> None:
        await self.people.look(list(self._all_pages()))
        try:
            floors = {key: min(page.floor for page in pages) for key, pages in self._pages.items()}
            events, newest = await with_own_thread(sync_to_async(read_news)(floors))
        except DatabaseError as error:
            logger.warning("What is new in open conversations could not be read: %s", type(error).__name__)
            return
        for event in events:
            self._hand_out(event)
        for conversation_id, message_id in newest.items():
            for page in self._pages.get(conversation_id, ()):
                page.waiting.put_nowait({"type": "upto", "conversation_id": conversation_id, "id": message_id})
        await channel.rejoin()

    def _all_pages(self) -> Iterator[Subscription]:
        for pages in self._pages.values():
            yield from pages

    def _hand_out(self, event: dict[str, Any]) -> None:
        for page in self._pages.get(event["conversation_id"], ()):
            page.waiting.put_nowait(event)


_feeds: PerLoop[Feed] = PerLoop(Feed, lambda feed: feed.close())


async def feed() -> Feed:
    return await _feeds.get()


def read_news(floors: dict[int, int]) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """Return events of the messages after each conversation's floor, and of all states; and each one's newest id.

    With 200 conversations, every few seconds, one condition for each keeps Python at work for 18 ms; the floors as two
    arrays for 1.
    """
    newer = """
        SELECT message.id FROM unnest(%s::bigint[], %s::bigint[]) AS open (conversation_id, floor)
        JOIN chat_message message ON message.conversation_id = open.conversation_id AND message.id > open.floor
    """
    with connection.cursor() as cursor:
        cursor.execute(newer, [list(floors), list(floors.values())])
        ids = [row[0] for row in cursor.fetchall()]
    messages = Message.objects.filter(pk__in=ids).select_related("author").order_by("pk") if ids else []
    newest: dict[int, int] = {}
    events = []
    for message in messages:
        newest[message.conversation_id] = message.pk
        events.append(message_event(message))
    states = Conversation.objects.filter(pk__in=floors).select_related("agent")
    return [*events, *(state_event(conversation) for conversation in states)], newest


def read_missed(conversation_id: int, after: int, most: int) -> list[dict[str, Any]]:
    """Return events of the oldest messages after one, and of the state; the feed's next look finds what is more."""
    missed = Message.objects.filter(conversation=conversation_id, pk__gt=after).select_related("author")
    events = [message_event(message) for message in missed.order_by("pk")[:most]]
    upto = [{"type": "upto", "conversation_id": conversation_id, "id": events[-1]["message"]["id"]}] if events else []
    state = Conversation.objects.select_related("agent").filter(pk=conversation_id)
    return [*events, *upto, *(state_event(row) for row in state)]
