"""A conversation as a file, written piece by piece: however long it is, only a part of it is in memory."""

import json
from collections.abc import AsyncIterator, Collection, Iterator
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from chat.live.bodies import message_body
from chat.models import Conversation, Message
from common.links import Asked

Messages = AsyncIterator[dict[str, Any]]
_AT_ONCE = 100
_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>#"})


async def as_json(head: dict[str, Any], messages: Messages) -> AsyncIterator[str]:
    """Yield a conversation's fields, which `head` has, and its messages, as one JSON object."""
    yield json.dumps(head, ensure_ascii=False)[:-1] + ', "messages": ['
    is_first = True
    async for body in messages:
        yield ("\n" if is_first else ",\n") + json.dumps(body, ensure_ascii=False)
        is_first = False
    yield "\n]}\n"


def as_markdown(conversation: Conversation, messages: Messages) -> AsyncIterator[str]:
    """Yield the conversation to be read: questions as quotations, answers as they are, sources as links.

    The words between are in the language that is active at the call: a response is sent after its middleware.
    """
    words = {"title": _("Conversation"), "question": _("Question"), "answer": _("Answer"), "sources": _("Sources")}
    return _markdown(conversation, messages, words)


async def _markdown(conversation: Conversation, messages: Messages, words: dict[str, str]) -> AsyncIterator[str]:
    yield f"# {_plain(conversation.title or words['title'])}\n\n{_plain(conversation.user_id)}\n"
    async for body in messages:
        yield "\n" + "\n".join(_lines_of(body, words))


async def messages_of(conversation: Conversation, request: Asked, indexes: Collection[str]) -> Messages:
    """Yield the conversation's messages, for a client that may read passages of these indexes; none: of all."""
    newest = 0
    while bodies := await sync_to_async(_bodies_after)(conversation, newest, request, indexes):
        for body in bodies:
            yield body
        newest = bodies[-1]["id"]


def _bodies_after(
    conversation: Conversation, message_id: int, request: Asked, indexes: Collection[str]
) -> list[dict[str, Any]]:
    messages = Message.objects.filter(conversation=conversation.pk, pk__gt=message_id).select_related("author")
    rows = messages.defer("embedding").order_by("pk")[:_AT_ONCE]
    return [message_body(message, with_html=False, request=request, indexes=indexes) for message in rows]


def _lines_of(body: dict[str, Any], words: dict[str, str]) -> Iterator[str]:
    said_at = parse_datetime(body["created_at"])
    assert isinstance(said_at, datetime)
    when = date_format(said_at, "Y-m-d H:i")
    if body["role"] == Message.Role.NOTICE:
        yield f"*{_plain(body['text'])}* ({when})\n"
        return
    speaker = words["question"] if body["role"] == Message.Role.USER else _plain(body["author"] or words["answer"])
    yield f"**{speaker}**, {when}\n"
    if body["role"] == Message.Role.USER:
        yield "\n".join(f"> {line}".rstrip() for line in body["text"].splitlines()) + "\n"
    else:
        yield body["text"].strip() + "\n"
    cited = [citation for citation in body["citations"] if citation.get("is_cited")]
    if cited:
        yield f"{words['sources']}:\n"
        yield from (_source_line(citation) for citation in cited)
        yield ""


def _source_line(citation: dict[str, Any]) -> str:
    title = _plain(citation.get("title") or citation["document_id"])
    address = citation.get("url", "").replace(">", "%3E").replace(" ", "%20")
    return f"- \\[{citation['number']}\\] " + (f"[{title}](<{address}>)" if address else title)


def _plain(text: str) -> str:
    """Return text in which nothing is Markdown, on one line."""
    return " ".join(text.translate(_ESCAPED).split())
