"""The chat page's WebSocket: it receives questions and sends the pieces of the answers."""

import asyncio
import json
from contextlib import aclosing
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError

from chat.callers import Caller
from chat.engine import begin, run
from chat.error_descriptions import describe, headers_of
from chat.errors import InvalidMessage
from chat.providers.extractive import NOTICE
from chat.socket_origin import meta_of
from chat.standing import FORBIDDEN, Standing, read_standing
from chat.turns import STOPPED, Answer, Question, Settled, Turn
from chat.visitors import new_visitor, user_id_of, visitor_of
from common.background import spawn, with_own_thread
from common.markdown import render
from common.markdown_stream import Block, MarkdownStream


class ChatConsumer(AsyncWebsocketConsumer):
    """Receive `{"message", "user_id"?, "conversation_id"?}`; send `start`, `delta`, and `done`, `stopped` or `error`.

    A `block` between the deltas is the HTML of what was finished since the last block, with the `length` of all text
    rendered so far; `done` has the HTML of the whole answer and of each quote.

    Each socket has one answer at a time. `{"type": "stop"}` ends it, as `POST /chat/{id}/stop` does: `stopped` has what
    was received, as `done` would. Closing the socket cancels it. At each message the
    user is read again: after a sign-out, a change of the password or of their rights the socket is closed with a code
    of `chat.standing` and a reason.
    """

    # The socket sends to its own page only, so it needs no channel layer, and an outage of Redis does not affect it.
    channel_layer_alias = None

    async def connect(self) -> None:
        self.answering: asyncio.Task[None] | None = None
        self.turn: Turn | None = None
        self.rendering = MarkdownStream()
        self.meta = meta_of(self.scope)
        self.visitor = visitor_of(self.scope.get("cookies", {})) or new_visitor()
        self.standing = await self._read_standing()
        await self.accept()  # a browser gets the close code only of an accepted socket
        if not self.standing.may_chat:
            await self.close(code=FORBIDDEN, reason="Sign in to chat.")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            if await self._is_closed_by_change():
                return
        except DatabaseError as error:
            await self._send_error(error)
            return
        try:
            content = json.loads(text_data or "")
            if not isinstance(content, dict):
                raise InvalidMessage("Send a JSON object.")
        except (ValueError, RecursionError, InvalidMessage):
            await self._send_error(InvalidMessage("Send a JSON object with a message."))
            return
        if content.get("type") == "stop":
            await self._stop()
        elif content.get("type") in ("open", "typing"):
            pass  # nobody but the bot answers yet
        elif self.answering:
            await self._send_error(InvalidMessage("Wait for the answer, or stop it."))
        else:
            self.answering = spawn(self._answer(content))

    async def disconnect(self, code: int) -> None:
        if self.answering:
            self.answering.cancel()

    async def _read_standing(self) -> Standing:
        session_key = getattr(self.scope.get("session"), "session_key", None)
        read = sync_to_async(read_standing)(session_key, self.meta)
        self.scope["user"], standing = await with_own_thread(read)
        return standing

    async def _is_closed_by_change(self) -> bool:
        """Close the socket if its user may no longer do what they could when they opened it."""
        change = (await self._read_standing()).change_since(self.standing)
        if change is None:
            return not self.standing.may_chat  # a message that came before the refusal reached its sender
        if self.answering:
            self.answering.cancel()
        code, reason = change
        await self.close(code=code, reason=reason)
        return True

    async def _stop(self) -> None:
        if self.turn:  # `_answer` sends what was received, which is stored
            self.turn.stop()
        elif answering := self.answering:
            self.answering = None
            answering.cancel()
            await asyncio.wait([answering])
            await self._send_block(self.rendering.end())
            await self._send("stopped", {})

    async def _answer(self, content: dict[str, Any]) -> None:
        self.rendering = MarkdownStream()
        try:
            turn = await begin(self._question(content))
            if isinstance(turn, Settled):
                self.answering = None
                await self._send_settled(turn)
                return
            self.turn = turn
            await self._send("start", {"context_id": turn.context_id, "conversation_id": turn.conversation_id})
            async with aclosing(run(turn, is_streamed=True)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Answer):
                        self.answering = self.turn = None  # before sending: the next question may follow at once
                        kind = "stopped" if piece.is_dropped or STOPPED in piece.flags else "done"
                        await self._send(kind, page_body(piece) | {"limits": turn.admission.headers()})
                    else:
                        await self._send("delta", {"text": piece})
                        await self._send_block(self.rendering.add(piece))
        except Exception as error:  # the page shows a message for every error
            self.answering = self.turn = None
            await self._send_block(self.rendering.end())
            await self._send_error(error)

    async def _send_settled(self, settled: Settled) -> None:
        ids = {"context_id": settled.answer.context_id, "conversation_id": settled.answer.conversation_id}
        await self._send("start", ids)
        await self._send("done", page_body(settled.answer) | {"limits": settled.admission.headers()})

    def _question(self, content: dict[str, Any]) -> Question:
        user_id = user_id_of(self.scope["user"], self.visitor)
        if self.standing.may_choose and content.get("user_id"):
            user_id = content["user_id"]
        conversation_id = content.get("conversation_id")
        return Question(
            user_id=user_id,
            message=content.get("message", ""),
            conversation_id=conversation_id if isinstance(conversation_id, int) else None,
            client_id=client_id_of(content),
            caller=Caller.of(self.meta),
        )

    async def _send(self, kind: str, data: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps({"type": kind, **data}, ensure_ascii=False, default=str))

    async def _send_block(self, block: Block | None) -> None:
        if block:
            await self._send("block", {"html": block.html, "length": block.length})

    async def _send_error(self, error: Exception) -> None:
        status, code, message = describe(error)
        await self._send("error", {"status": status, "code": code, "message": message, "limits": headers_of(error)})


def client_id_of(content: dict[str, Any]) -> UUID | None:
    """Return the message's client id; raise InvalidMessage for what is no UUID."""
    given = content.get("client_id")
    if given is None:
        return None
    try:
        return UUID(given)
    except (ValueError, TypeError, AttributeError):
        raise InvalidMessage("client_id must be a UUID.") from None


def page_body(result: Answer) -> dict[str, Any]:
    """Return the answer's body with the HTML for the page, without NOTICE, which the page shows elsewhere.

    The context that the model got is left out: the page does not show it, and a visitor may not see it.
    """
    body = result.to_dict()
    del body["context_used"]
    for citation in body["citations"]:
        citation["html"] = render(citation["quote"])
    text = result.response.removeprefix(NOTICE) if result.is_extractive else result.response
    return body | {"html": render(text, {citation.number for citation in result.citations})}
