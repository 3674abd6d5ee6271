"""A stored message as clients get it: over REST, over the page's socket, and in an export."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from chat.models import Message
from chat.providers.extractive import NOTICE
from common.markdown import render


def message_body(message: Message, *, with_html: bool = False) -> dict[str, Any]:
    """Return the message in types of JSON; with HTML, also of its citations' quotes, for the page.

    A user's message and a notice are plain text, so their HTML is empty. Load `author` with the message.
    """
    body = {
        "id": message.pk,
        "role": message.role,
        "text": message.text,
        "created_at": message.created_at.isoformat(),
        "author": name_of(message.author) if message.role == Message.Role.AGENT else None,
        "client_id": str(message.client_id) if message.client_id else None,
        "context_id": str(message.trace_id) if message.trace_id else None,
        "citations": message.citations,
        "grounding": message.grounding,
        "flags": message.flags,
    }
    if with_html:
        body["html"] = _html_of(message)
        body["citations"] = [citation | {"html": render(citation["quote"])} for citation in message.citations]
    return body


def name_of(person: AbstractBaseUser | None) -> str:
    """Return the name by which customers know a person: never the name they sign in with. "" for nobody."""
    get_full_name = getattr(person, "get_full_name", None)
    return get_full_name() if get_full_name else ""


def _html_of(message: Message) -> str:
    if message.role not in (Message.Role.ASSISTANT, Message.Role.AGENT):
        return ""
    # The page tells in a line of its own that no model is configured.
    text = message.text.removeprefix(NOTICE) if message.role == Message.Role.ASSISTANT else message.text
    return render(text, {citation["number"] for citation in message.citations})
