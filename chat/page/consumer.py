"""The chat page's WebSocket: it receives questions and sends the pieces of the answers."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, TypeGuard
from urllib.parse import parse_qs
from uuid import UUID

from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils import translation

from chat.access.callers import Caller
from chat.access.visitors import new_visitor, user_id_of, visitor_of
from chat.answer_flags import ANSWER_STOPPED
from chat.bots.known import require_bot
from chat.engine.answering import run
from chat.engine.beginning import begin
from chat.error_descriptions import describe, headers_of
from chat.errors import BotNotFound, ConversationNotFound, InvalidMessage
from chat.handover import actions
from chat.limits.admission import Admission
from chat.models import DEFAULT_BOT, Message, reasons
from chat.page.live_page import LivePage
from chat.page.reading import check_reading_of_another
from chat.page.socket_origin import meta_of
from chat.page.standing import FORBIDDEN, Standing, read_standing
from chat.turns.turn import Answer, Answered, Question, Turn
from common.background import spawn, with_own_thread
from common.errors import FabraError
from common.markdown import render
from common.markdown_stream import Block, MarkdownStream
from common.strict_json import NotJSON, parse_json


class ChatConsumer(AsyncWebsocketConsumer):
    """Receive `{"message", "user_id"?, "conversation_id"?}`; send `start`, `delta`, and `done`, `stopped` or `error`.

    A `block` between the deltas is the HTML of what was finished since the last block, with the `length` of all text
    rendered so far; `done` has the HTML of the whole answer and of each quote.

    `{"type": "open", "conversation_id", "after"}` shows a conversation: what came after that message, and from then on
    what others do in it, come as `message`, `state` and `typing`. `{"type": "typing"}` tells a person that the user is
    typing, `{"type": "escalate"}` asks for one.

    Each socket has one answer at a time. `{"type": "stop"}` ends it, as `POST /chat/{id}/stop` does: `stopped` has what
    was received, as `done` would. Closing the socket cancels it. At each message the user is read again: after a
    sign-out, a change of the password or of their rights the socket is closed with a code of `chat.page.standing` and a
    reason.
    """

    # What others do comes by `chat.live`: with a layer of its own, an outage of Redis would end the socket.
    channel_layer_alias = None

    async def connect(self) -> None:
        self.answering: asyncio.Task[None] | None = None
        self.turn: Turn | None = None
        self.live = LivePage(self._send_live)
        self.rendering = MarkdownStream()
        self.meta = meta_of(self.scope)
        self.bot = bot_in(self.scope)
        self.language = await self._language()
        self.visitor = visitor_of(self.scope.get("cookies", {})) or new_visitor()
        self.standing = await self._read_standing()
        await self.accept()  # a browser gets the close code only of an accepted socket
        await self._greet()

    async def _greet(self) -> None:
        if not self.standing.may_chat:
            await self.close(code=FORBIDDEN, reason="Sign in to chat.")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        content = parsed(text_data)
        kind = content.get("type") if content else None
        if kind in ("typing", "escalate") and self.live.is_too_soon(kind):
            return
        try:
            if await self._is_closed_by_change():
                return
            if content is None:
                raise InvalidMessage("Send a JSON object with a message.")
            if kind == "stop":
                await self._stop()
            elif kind == "open":
                await self._open(content)
            elif kind == "typing":
                await self.live.publish_typing()
            elif kind == "escalate":
                await self._escalate()
            elif self.answering:
                raise InvalidMessage("Wait for the answer, or stop it.")
            else:
                with translation.override(self.language):  # the task keeps it
                    self.answering = spawn(self._answer(content))
        except (DatabaseError, FabraError) as error:
            await self._send_error(error)

    async def disconnect(self, code: int) -> None:
        self.live.close()
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

    async def _open(self, content: dict[str, Any]) -> None:
        ids = [number for number in (content.get("conversation_id"), content.get("after") or 0) if _is_id(number)]
        if len(ids) != 2:
            raise InvalidMessage("open takes the ids of a conversation and of the last message that the page has.")
        user_id = self._user_id(content)
        if self.standing.may_choose and user_id != user_id_of(self.scope["user"], self.visitor):
            check = sync_to_async(check_reading_of_another)
            await with_own_thread(check(self.meta, self.scope["user"], ids[0], user_id, self.bot))
        await self.live.open(ids[0], user_id, after=ids[1], bot=self.bot)

    async def _escalate(self) -> None:
        """Ask for a person in the conversation that is open; what changes is sent to every page that shows it."""
        if self.live.conversation_id is None:
            raise ConversationNotFound("Open a conversation first.")
        await with_own_thread(sync_to_async(actions.escalate)(self.live.conversation_id, reasons.CUSTOMER_ASKED))

    async def _send_live(self, event: dict[str, Any]) -> None:
        """Send what others did; messages only to somebody whose rights are as they were."""
        try:
            if event["type"] == "message" and await self._is_closed_by_change():
                return
        except DatabaseError:
            return  # the page gets it when it asks what it has missed
        await self._send(event["type"], {name: value for name, value in event.items() if name != "type"})

    async def _stop(self) -> None:
        if self.turn:  # `_answer` sends what was received, which is stored
            self.turn.stop()
        elif answering := self.answering:
            self.answering = None
            answering.cancel()
            await asyncio.wait([answering])
            await self._send_block(self.rendering.end())
            await self._send("stopped", {})
            await self.live.release()

    async def _answer(self, content: dict[str, Any]) -> None:
        self.rendering = MarkdownStream()
        self.live.hold()
        try:
            turn = await begin(self._question(content))
            if isinstance(turn, Answered):
                await self._finish(turn.answer, turn.admission, turn.answer.question_id)
                return
            self.turn = turn
            question_id, is_reopened = turn.message.pk, turn.lease.was_closed
            self.live.begin_answer(turn.conversation_id, question_id, is_reopened=is_reopened)
            await self._send_start(turn.context_id, turn.conversation_id, question_id)
            async with aclosing(run(turn, is_streamed=True)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Answer):
                        await self._finish(piece, turn.admission)
                    else:
                        await self._send("delta", {"text": piece})
                        await self._send_block(self.rendering.add(piece))
        except Exception as error:  # the page shows a message for every error
            self.answering = self.turn = None
            await self._send_block(self.rendering.end())
            await self._send_error(error)
            await self.live.release()

    async def _finish(self, result: Answer, admission: Admission, answered_question_id: int | None = None) -> None:
        """Send the answer, and then what others said meanwhile."""
        self.answering = self.turn = None  # before sending: the next question may follow at once
        if answered_question_id is not None and result.message_id is not None:
            is_reopened = result.conversation_was_closed
            self.live.begin_answer(result.conversation_id, answered_question_id, is_reopened=is_reopened)
            await self._send_start(result.context_id, result.conversation_id, answered_question_id)
        kind = "stopped" if result.is_dropped or ANSWER_STOPPED in result.flags else "done"
        body = {}
        if result.message_id is not None:  # otherwise it was stopped before it was stored
            body = page_body(result, may_trace=self.standing.may_trace) | {"limits": admission.headers()}
        await self._send(kind, body)
        await self.live.release(result.message_id, result.state)

    async def _send_start(self, context_id: str | None, conversation_id: int, question_id: int) -> None:
        ids = {"context_id": context_id, "conversation_id": conversation_id, "question_id": question_id}
        await self._send("start", ids)

    def _user_id(self, content: dict[str, Any]) -> Any:
        """Return who writes: oneself, or whom somebody chose who may."""
        if self.standing.may_choose and content.get("user_id"):
            return Caller.of(self.meta).check_user(content["user_id"])
        return user_id_of(self.scope["user"], self.visitor)

    def _question(self, content: dict[str, Any]) -> Question:
        conversation_id = content.get("conversation_id")
        if conversation_id is not None and not _is_id(conversation_id):
            raise InvalidMessage("conversation_id must be the number of a conversation.")
        return Question(
            user_id=self._user_id(content),
            bot=self.bot,
            message=content.get("message", ""),
            conversation_id=conversation_id,
            client_id=client_id_of(content),
            caller=self._caller(),
        )

    def _caller(self) -> Caller:
        return Caller.of(self.meta)

    async def _language(self) -> str:
        """Return the bot's language, or else the browser's."""
        try:
            return (await require_bot(self.bot)).language or language_of(self.meta)
        except BotNotFound:  # each message is told so
            return language_of(self.meta)

    async def _send(self, kind: str, data: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps({"type": kind, **data}, ensure_ascii=False, default=str))

    async def _send_block(self, block: Block | None) -> None:
        if block:
            await self._send("block", {"html": block.html, "length": block.length})

    async def _send_error(self, error: Exception) -> None:
        status, code, message = describe(error)
        await self._send("error", {"status": status, "code": code, "message": message, "limits": headers_of(error)})


def bot_in(scope: Mapping[str, Any]) -> str:
    """Return the slug of the bot that a socket's address names, or that of the default one."""
    given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("bot", [])
    return given[0] if given else DEFAULT_BOT


def language_of(meta: dict[str, Any]) -> str:
    """Return the language of the browser, as the middleware finds it for the pages."""
    request = HttpRequest()
    request.META.update(meta)
    return translation.get_language_from_request(request)


def parsed(text: str | None) -> dict[str, Any] | None:
    """Return the object that a frame holds; None if it holds none."""
    try:
        content = parse_json(text or "")
    except NotJSON:
        return None
    return content if isinstance(content, dict) else None


def _is_id(value: Any) -> TypeGuard[int]:
    """Return whether a value of JSON is a number that a row can have; a boolean is none, though Python says so."""
    return type(value) is int and 0 <= value < 2**63


def client_id_of(content: dict[str, Any]) -> UUID | None:
    """Return the message's client id; raise InvalidMessage for what is no UUID."""
    given = content.get("client_id")
    if given is None:
        return None
    try:
        return UUID(given)
    except (ValueError, TypeError, AttributeError):
        raise InvalidMessage("client_id must be a UUID.") from None


def page_body(result: Answer, *, may_trace: bool) -> dict[str, Any]:
    """Return the answer's body with the HTML for the page; its `role` is that of the message that it becomes.

    The context that the model got is always left out, since the page does not show it; which model answered, and at
    what cost, is for those who may see traces.
    """
    body = result.to_dict() if may_trace else result.to_customer_dict()
    body.pop("context_used", None)
    body.pop("notices", None)  # they come as messages
    for citation in body["citations"]:
        citation["html"] = render(citation["quote"])
    html = render(result.response, {citation.number for citation in result.citations})
    return body | {"html": html, "role": Message.Role.ASSISTANT if result.model else Message.Role.NOTICE}
