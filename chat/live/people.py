"""Whether the agents and customers of this process's pages are there: two round trips to Redis for all of them."""

import asyncio
import time
import uuid
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any

from chat.live import presence
from chat.live.subscription import Subscription
from common.background import spawn
from common.redis import REDIS_ERRORS


class People:
    """What the pages of one event loop show of agents, and what agents are shown of the pages' customers."""

    def __init__(self) -> None:
        self._source = uuid.uuid4().hex
        self._here: dict[Any, bool | None] = {}
        """Whether each of the pages' agents is there, by their ids; None if Redis did not answer."""
        self._reading = asyncio.Lock()
        self._renewed: dict[str, float] = {}
        """The customers who are there, and when that was noted, by `time.monotonic()`."""

    async def is_here(self, page: Subscription) -> bool | None:
        """Return whether the page's agent is there, and note that its customer is; None if nobody can tell.

        Redis is asked only if it was not asked for another page of the same agent.
        """
        who = presence.customer_of(page.conversation_id)
        if page.has_person and who not in self._renewed:
            self._renewed[who] = time.monotonic()
            spawn(self._renew([who]), uses_database=False)
        if page.agent_id is None:
            return None
        async with self._reading:
            if page.agent_id not in self._here:
                self._here |= await _agents_here([page.agent_id])
        return self._here.get(page.agent_id)

    async def look(self, pages: Collection[Subscription]) -> None:
        """Read who of the pages' agents is there now, and note that the customers still are."""
        self._here = await _agents_here({page.agent_id for page in pages if page.agent_id is not None})
        _notify(pages)
        people = {presence.customer_of(page.conversation_id) for page in pages if page.has_person}
        await self._say_gone(self._renewed.keys() - people)
        due = time.monotonic() - presence.renewed_every_s()
        await self._renew([who for who in people if self._renewed.get(who, due) <= due])

    def hear(self, agent_id: Any, pages: Iterable[Subscription]) -> None:
        """Note that an agent has come."""
        self._here[agent_id] = True
        _notify(page for page in pages if page.agent_id == agent_id)

    def leave(self, conversation_id: int) -> None:
        """Note that no page shows a conversation any more."""
        spawn(self._say_gone({presence.customer_of(conversation_id)} & self._renewed.keys()), uses_database=False)

    def forget(self) -> None:
        """Ask anew from now on: nobody announces agents who come while no page is open."""
        self._here = {}

    async def _renew(self, people: Collection[str]) -> None:
        if people:
            with suppress(*REDIS_ERRORS):  # the next look tries again
                self._renewed |= dict.fromkeys(people, time.monotonic())
                await presence.renew(people, self._source)

    async def _say_gone(self, people: Collection[str]) -> None:
        for who in people:
            self._renewed.pop(who, None)
        if people:
            with suppress(*REDIS_ERRORS):  # their entries expire
                await presence.leave(people, self._source)


def _notify(pages: Iterable[Subscription]) -> None:
    for page in pages:
        if page.agent_id is not None:
            page.waiting.put_nowait({"type": "presence", "conversation_id": page.conversation_id})


async def _agents_here(agents: Collection[Any]) -> dict[Any, bool | None]:
    names = {presence.agent(pk): pk for pk in agents}
    try:
        return {names[who]: is_here for who, is_here in (await presence.are_here(names)).items()}
    except REDIS_ERRORS:
        return dict.fromkeys(agents)
