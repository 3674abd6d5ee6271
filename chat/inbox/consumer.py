"""The inbox's WebSocket: it says that something is new; the page fetches what, with its agent's rights of then."""

import asyncio
import json
import uuid
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from chat.access.permissions import may_open_inbox
from chat.handover import actions
from chat.inbox.attendance import Attendance
from chat.live.bodies import name_of
from chat.live.broadcast import broadcast
from chat.live.channel import GroupChannel
from chat.live.groups import INBOX, conversation_group
from chat.models import Conversation
from chat.page.standing import FORBIDDEN, user_of_session
from common.background import repeat, spawn, with_own_thread
from common.strict_json import NotJSON, parse_json


class InboxConsumer(AsyncWebsocketConsumer):
    """Send `inbox` and `gone`, and `message`, `state` and `typing` of the open conversation, each with its id.

    `typing` has its `author`, null for the customer; `presence` says with `is_here` whether the customer's page is
    open, or null while Redis is down. Receive `{"type": "open", "conversation_id"}`, `{"type": "typing"}`, which the
    customer sees if the agent holds the conversation, and `{"type": "active"}` while somebody uses the inbox. The
    agent's rights are read again at each message. `live` says with `is_live` that Redis is gone, or back: meanwhile
    nothing else is sent, and the page asks every few seconds.
    """

    # Channels would subscribe before `connect`, and end the socket where Redis is down.
    channel_layer_alias = None

    async def connect(self) -> None:
        self.open_id: int | None = None
        self.page_id = uuid.uuid4().hex
        self.channel: GroupChannel | None = None
        self.tasks: list[asyncio.Task[None]] = []
        self.agent = await self._read_agent()
        await self.accept()
        if self.agent is None:
            await self.close(code=FORBIDDEN, reason="Your account may not answer customers.")
        else:
            self.attendance = Attendance(self.agent.pk, self._send_json)
            self.channel = channel = GroupChannel()
            work = (
                self._join(channel),
                repeat(partial(self._hear, channel)),
                repeat(self.attendance.refresh, settings.FABRA_LIVE_LOOK_S),
            )
            self.tasks = [spawn(step, uses_database=False) for step in work]

    async def disconnect(self, code: int) -> None:
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await self.attendance.leave()
        channel, self.channel = self.channel, None
        if channel is not None:
            await channel.close()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self.tasks:
            return  # it came before the refusal reached its sender
        before, self.agent = self.agent, await self._read_agent()
        if self.agent is None:
            await with_own_thread(sync_to_async(actions.release_agent)(before))
            await self.close(code=FORBIDDEN, reason="Your account may no longer answer customers.")
            return
        try:
            content = parse_json(text_data or "")
        except NotJSON:
            return
        if not isinstance(content, dict):
            return
        if content.get("type") == "open":
            conversation_id = content.get("conversation_id")
            await self._open(conversation_id if type(conversation_id) is int else None)
            await self.attendance.open(self.open_id)
        elif content.get("type") == "active":
            await self.attendance.use()
        elif content.get("type") == "typing" and self.open_id is not None:
            await self._publish_typing(self.open_id)
            await self.attendance.use()

    async def _join(self, channel: GroupChannel) -> None:
        """Hear what the agents are told; what Redis refused is tried again every few seconds."""
        await channel.join([INBOX])
        await repeat(channel.rejoin, settings.FABRA_LIVE_LOOK_S)

    async def _hear(self, channel: GroupChannel) -> None:
        """Pass on what the agents and the open conversation are told."""
        event = await channel.receive()
        if event["type"] != "typing" or event.get("origin") != self.page_id:
            await self._send(event)

    async def _send(self, event: dict[str, Any]) -> None:
        names = ("type", "conversation_id", *(["author"] if event["type"] == "typing" else []))
        await self._send_json({name: event.get(name) for name in names})

    async def _send_json(self, content: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(content))

    async def _open(self, conversation_id: int | None) -> None:
        before, self.open_id = self.open_id, conversation_id
        if self.channel is not None and before is not None:
            await self.channel.leave(conversation_group(before))
        if self.channel is not None and conversation_id is not None:
            await self.channel.join([conversation_group(conversation_id)])

    async def _publish_typing(self, conversation_id: int) -> None:
        held = Conversation.objects.filter(pk=conversation_id, state=Conversation.State.PERSON, agent=self.agent)
        if await with_own_thread(sync_to_async(held.exists)()):
            event = {
                "type": "typing", "conversation_id": conversation_id, "author": name_of(self.agent),
                "origin": self.page_id,
            }  # fmt: skip
            await broadcast(conversation_group(conversation_id), event)

    async def _read_agent(self) -> Any:
        session_key = getattr(self.scope.get("session"), "session_key", None)
        return await with_own_thread(sync_to_async(_agent_of)(session_key))


def _agent_of(session_key: str | None) -> Any:
    """Return the session's user if they may answer customers in the admin; otherwise None."""
    user = user_of_session(session_key)
    return user if may_open_inbox(user) else None
