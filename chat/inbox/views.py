"""The inbox's pages and actions; whoever calls them has the permission to answer customers at that moment."""

import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

from chat.access.permissions import ANSWER_CONVERSATION
from chat.bots.known import index_of
from chat.error_descriptions import describe, error_body
from chat.errors import ConversationNotFound, InvalidAgent
from chat.handover import actions
from chat.inbox import rows
from chat.inbox.colleagues import colleagues_of
from chat.models import Conversation
from common.admin.permissions import needs
from common.admin.site import render, site
from common.errors import FabraError, InvalidInput
from common.links import absolute_link
from retrieval.search.execute import search_sync

_PASSAGES = 5

View = Callable[..., HttpResponse]


def _for_agents(view: View) -> View:
    """Let agents call a view; of somebody who is one no longer, the customers wait for another from then on."""
    permitted = needs(ANSWER_CONVERSATION)(view)

    @wraps(permitted)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.has_perm(ANSWER_CONVERSATION):
            actions.release_agent(request.user)
        return permitted(request, *args, **kwargs)

    return checked


def _with_errors(view: View) -> View:
    """Answer an error as the API does: the page shows its sentence."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(*args, **kwargs)
        except FabraError as error:
            status, code, message = describe(error)
            return JsonResponse(error_body(code, message), status=status)

    return checked


@_for_agents
def show(request: HttpRequest) -> HttpResponse:
    """Show the list, with the conversation that the URL names beside it."""
    conversation = _named(request)
    context = {
        "title": "Inbox",
        "inbox": rows.inbox_of(request.user),
        "opened": rows.open_conversation(conversation, request) if conversation else None,
        "open_id": conversation.pk if conversation else None,
        "max_chars": settings.FABRA_MESSAGE_MAX_CHARS,
    }
    return render(request, "admin/chat/inbox/page.html", site.each_context(request) | context)


@_for_agents
def listing(request: HttpRequest) -> HttpResponse:
    """Return the list again, how many conversations the agent could do something about, and what is new in them.

    `version` is that of the open conversation's head, by which the page knows whether it shows it as it is.
    """
    inbox = rows.inbox_of(request.user)
    conversation = _named(request)
    context = {"inbox": inbox, "open_id": conversation.pk if conversation else None}
    news = {"pending": inbox.pending, "mine": [row.conversation.pk for row in inbox.mine], "newest": inbox.newest}
    version = rows.version_of(conversation) if conversation else ""
    return JsonResponse({"html": _html(request, "list", context), "version": version, **news})


@_for_agents
@_with_errors
def conversation(request: HttpRequest, pk: int) -> HttpResponse:
    """Return a conversation with what is known of its customer."""
    opened = rows.open_conversation(_require(pk), request)
    return JsonResponse({"html": _html(request, "conversation", {"opened": opened})})


@_for_agents
@_with_errors
def messages(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the messages after the one that the query names."""
    after = request.GET.get("after", "0")
    if not (after.isdecimal() and len(after) < 19):
        raise InvalidInput("after must be the id of a message.")
    found = rows.messages_after(_require(pk), int(after))
    html = _html(request, "messages", {"messages": found})
    return JsonResponse({"html": html, "last": found[-1]["id"] if found else int(after)})


@needs(ANSWER_CONVERSATION, "retrieval.view_chunk")
@_with_errors
def passages(request: HttpRequest) -> HttpResponse:
    """Return passages to answer with, of documents that every customer may read, in the index of the bot."""
    record = search_sync(index_of(request.GET.get("bot", "")), request.GET.get("q", ""), _PASSAGES)
    found = [(hit, absolute_link(hit.url, request)) for hit in record.hits]
    return JsonResponse({"html": _html(request, "passages", {"found": found})})


@_for_agents
def colleagues(request: HttpRequest) -> HttpResponse:
    """Return to whom a conversation can be passed on, with what each holds, and whether they are there."""
    conversation = _named(request)
    found = colleagues_of(request.user, conversation.agent_id if conversation else None)
    return JsonResponse({"html": _html(request, "colleagues", {"colleagues": found})})


@_for_agents
@_with_errors
def transfer(request: HttpRequest, pk: int) -> HttpResponse:
    """Pass the conversation on to the user whom `to` names by their key, or without one put it into the queue."""
    actions.transfer(_known(pk), request.user, _user(request.POST.get("to", "")))
    return JsonResponse({})


@_for_agents
@_with_errors
def take(request: HttpRequest, pk: int) -> HttpResponse:
    actions.assign(_known(pk), request.user)
    return JsonResponse({})


@_for_agents
@_with_errors
def send(request: HttpRequest, pk: int) -> HttpResponse:
    """Answer the customer; a `client_id` that was sent before is not sent twice."""
    actions.send_as_agent(_known(pk), request.user, request.POST.get("text", ""), client_id=_client_id(request))
    return JsonResponse({})


@_for_agents
@_with_errors
def hand_back(request: HttpRequest, pk: int) -> HttpResponse:
    actions.hand_back(_known(pk), request.user)
    return JsonResponse({})


@_for_agents
@_with_errors
def close(request: HttpRequest, pk: int) -> HttpResponse:
    actions.close(_known(pk), request.user, request.POST.get("note", ""))
    return JsonResponse({})


def _known(pk: int) -> int:
    """Return an id that PostgreSQL can look up; raise ConversationNotFound."""
    if pk >= 2**63:
        raise ConversationNotFound
    return pk


def _user(key: str) -> Any:
    """Return the user of a key; None for "". Raise InvalidAgent."""
    if not key:
        return None
    users = get_user_model()
    try:
        return users._default_manager.get(pk=key)
    except (users.DoesNotExist, ValueError, OverflowError, ValidationError):
        raise InvalidAgent("There is no such person.") from None


def _client_id(request: HttpRequest) -> uuid.UUID | None:
    try:
        return uuid.UUID(request.POST["client_id"]) if "client_id" in request.POST else None
    except ValueError:
        raise InvalidInput("client_id must be a UUID.") from None


def _find(pk: int) -> Conversation | None:
    return Conversation.objects.select_related("agent").filter(pk=pk).first()


def _named(request: HttpRequest) -> Conversation | None:
    """Return the conversation that the query names."""
    given = request.GET.get("conversation", "")
    return _find(int(given)) if given.isdecimal() and len(given) < 19 else None


def _require(pk: int) -> Conversation:
    found = _find(_known(pk))
    if found is None:
        raise ConversationNotFound
    return found


def _html(request: HttpRequest, name: str, context: dict[str, Any]) -> str:
    return render_to_string(f"admin/chat/inbox/{name}.html", context, request)
