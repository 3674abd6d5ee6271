"""Messages and states as open pages get them."""

from collections.abc import Collection
from functools import lru_cache
from typing import Any

from django.utils.translation import gettext as _

from chat.models import Conversation, Message
from chat.providers.extractive import NOTICE
from common.links import Asked, absolute_link
from common.markdown import render


def message_body(
    message: Message, *, with_html: bool = True, request: Asked | None = None, indexes: Collection[str] = ()
) -> dict[str, Any]:
    """Return a message with the HTML of what the bot or a person wrote; a customer's text is plain.

    Give the request of a client that is no page of this site, and the `indexes` whose passages alone it may read, if it
    is bound to some. Reads the author, if the message has one: select it
    together with the messages.
    """
    citations = [citation for citation in message.citations if not indexes or citation.get("index") in indexes]
    if request is not None:
        citations = [citation | {"url": absolute_link(citation.get("url", ""), request)} for citation in citations]
    body = {
        "id": message.pk,
        "role": message.role,
        "text": message.text,
        "created_at": message.created_at.isoformat(),
        "author": name_of(message.author),
        "client_id": str(message.client_id) if message.client_id else None,
        "context_id": str(message.trace_id) if message.trace_id else None,
        "citations": citations,
        "grounding": message.grounding,
        "flags": message.flags,
    }
    if with_html:
        body["html"] = _html(message)
        body["citations"] = [citation | {"html": _quote_html(citation.get("quote", ""))} for citation in citations]
    return body


def state_body(conversation: Conversation) -> dict[str, Any]:
    """Return who answers in a conversation; reads its agent."""
    return {
        "conversation_id": conversation.pk,
        "state": conversation.state,
        "agent": name_of(conversation.agent),
    }


def name_of(agent: Any) -> str | None:
    """Return a person's name as customers see it, never that of their account; None for nobody."""
    return (_full_name_of(agent) or _("Support")) if agent else None


def staff_name_of(agent: Any) -> str | None:
    """Return a person's name as their colleagues see it; None for nobody."""
    return (_full_name_of(agent) or agent.get_username()) if agent else None


def _full_name_of(agent: Any) -> str:
    """Return the full name; "" without one, or where the user model has none."""
    return str(agent.get_full_name()).strip() if hasattr(agent, "get_full_name") else ""


def _html(message: Message) -> str:
    if message.role == Message.Role.USER:
        return ""
    text = message.text.removeprefix(NOTICE) if message.role == Message.Role.ASSISTANT else message.text
    return render(text, {citation["number"] for citation in message.citations if "number" in citation})


@lru_cache(maxsize=512)  # the same passages are quoted again and again, and five of them take 2 ms
def _quote_html(quote: str) -> str:
    return render(quote)
