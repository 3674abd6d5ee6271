"""Endpoints of a user's conversations: list, open, rename, search, read, export, delete, and stop an answer."""

import re
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.db.models import Max, OuterRef, Subquery
from django.http import StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

from chat.access.permissions import CHAT_AS_USER
from chat.api import conversation_examples as examples
from chat.api import conversation_shapes as shapes
from chat.api import openapi
from chat.api.auth import caller_of
from chat.api.base import APIView, AsyncAPIView, ListAPIView, extend_schema
from chat.api.chat import AnyAccept
from chat.api.identity import MayConverse, bot_of, user_of
from chat.api.pagination import KeysetPagination
from chat.api.serializers import ErrorSerializer
from chat.conversations.export import as_json, as_markdown, messages_of
from chat.conversations.management import conversation_of, delete_conversation, rename, search_conversations
from chat.engine.stopping import stop_answers
from chat.live.bodies import message_body
from chat.models import Conversation, Feedback, Message
from common.errors import InvalidInput

_NONE = dict.fromkeys((400, 403, 404), ErrorSerializer)


class NewestFirst(KeysetPagination):
    ordering = ("-last_message_at", "-id")


class ConversationsView(ListAPIView):
    """A user's conversations, the latest first; `q` searches their titles and messages."""

    permissions = {"GET": CHAT_AS_USER}
    permission_classes = [MayConverse]
    serializer_class = shapes.ConversationSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> Any:
        found = search_conversations(
            user_of(self.request), self.request.query_params.get("q", ""), bot_of(self.request)
        )
        newest = (
            Message.objects.filter(conversation=OuterRef("pk")).order_by("-conversation_id", "-id").values("id")[:1]
        )
        return found.annotate(last_message_id=Subquery(newest))

    @extend_schema(
        parameters=[shapes.USER, openapi.BOT, shapes.SEARCH, *openapi.PAGE], examples=[examples.CONVERSATION]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class ConversationView(APIView):
    """One conversation of the user's own."""

    permissions = dict.fromkeys(("GET", "PATCH", "DELETE"), CHAT_AS_USER)
    permission_classes = [MayConverse]

    @extend_schema(
        parameters=[shapes.ID, shapes.USER, openapi.BOT],
        examples=[examples.CONVERSATION],
        responses={200: shapes.ConversationSerializer, **_NONE},
    )
    def get(self, request: Request, conversation_id: int) -> Response:
        return Response(_fields_of(conversation_of(user_of(request), conversation_id, bot_of(request))))

    @extend_schema(
        parameters=[shapes.ID, shapes.USER, openapi.BOT],
        examples=examples.RENAMING,
        request=shapes.ConversationChangeSerializer,
        responses={200: shapes.ConversationSerializer, **_NONE},
    )
    def patch(self, request: Request, conversation_id: int) -> Response:
        """Rename it; without a title nothing changes."""
        conversation = conversation_of(user_of(request), conversation_id, bot_of(request))
        data = shapes.ConversationChangeSerializer(data=request.data, partial=True)
        data.is_valid(raise_exception=True)
        if "title" in data.validated_data:
            rename(conversation, data.validated_data["title"])
        return Response(_fields_of(conversation))

    @extend_schema(
        parameters=[shapes.ID, shapes.USER, openapi.BOT],
        examples=[examples.DELETED],
        responses={202: shapes.ConversationDeletionSerializer, 204: None, **_NONE},
    )
    def delete(self, request: Request, conversation_id: int) -> Response:
        """Delete it with its messages, their traces, what its events say, and what features have kept of it.

        Golden questions and articles that an operator has made from it stay.
        """
        conversation = conversation_of(user_of(request), conversation_id, bot_of(request))
        async_to_sync(stop_answers)(conversation_id)
        left = delete_conversation(conversation)
        return Response({"left": left}, status=202) if left else Response(status=204)


class MessagesView(APIView):
    """The messages of a conversation, in their order."""

    permissions = {"GET": CHAT_AS_USER}
    permission_classes = [MayConverse]

    @extend_schema(
        parameters=[shapes.ID, shapes.USER, openapi.BOT, *shapes.MESSAGES],
        examples=[examples.MESSAGES],
        responses={200: shapes.MessagesSerializer, **_NONE},
    )
    def get(self, request: Request, conversation_id: int) -> Response:
        conversation = conversation_of(user_of(request), conversation_id, bot_of(request))
        after, before = _message_id(request, "after"), _message_id(request, "before")
        size = KeysetPagination().get_page_size(request) or 0
        with_html, indexes = _is_yes(request, "html"), caller_of(request).indexes
        found = Message.objects.filter(conversation=conversation.pk).select_related("author").defer("embedding")
        found = found if before is None else found.filter(pk__lt=before)
        if after is not None:
            rows = list(found.filter(pk__gt=after).order_by("conversation_id", "id")[: size + 1])
            has_earlier, has_later = after > 0, len(rows) > size or before is not None
            rows = rows[:size]
        else:
            rows = list(found.order_by("-conversation_id", "-id")[: size + 1])
            has_earlier, has_later = len(rows) > size, before is not None
            rows = rows[:size][::-1]
        given = {
            row["message"]: {"value": row["value"], "comment": row["comment"]}
            for row in Feedback.objects.filter(message__in=rows, user_id=conversation.user_id).values(
                "message", "value", "comment"
            )
        }
        messages = [
            message_body(row, with_html=with_html, request=request, indexes=indexes) | {"feedback": given.get(row.pk)}
            for row in rows
        ]
        return Response(
            {
                "messages": messages, "has_earlier": has_earlier, "has_later": has_later,
                "next": _page_url(request, "after", rows[-1].pk) if rows and has_later else None,
                "previous": _page_url(request, "before", rows[0].pk) if rows and has_earlier else None,
            }
        )  # fmt: skip


class ExportView(AsyncAPIView):
    """A conversation as a file."""

    permissions = {"GET": CHAT_AS_USER}
    permission_classes = [MayConverse]
    content_negotiation_class = AnyAccept

    @extend_schema(
        parameters=[shapes.ID, shapes.USER, openapi.BOT, shapes.EXPORT],
        examples=examples.EXPORTS,
        responses={
            (200, "application/json"): shapes.ConversationExportSerializer,
            (200, "text/markdown"): str,
            **_NONE,
        },
    )
    async def get(self, request: Request, conversation_id: int) -> StreamingHttpResponse:
        kind = request.query_params.get("as", "json")
        if kind not in ("json", "markdown"):
            raise InvalidInput("as must be json or markdown.")
        conversation = await sync_to_async(conversation_of)(user_of(request), conversation_id, bot_of(request))
        pieces: AsyncIterator[str]
        messages = messages_of(conversation, request, caller_of(request).indexes)
        if kind == "json":
            head = await sync_to_async(_fields_of)(conversation)
            pieces, content_type, ending = as_json(head, messages), "application/json", "json"
        else:
            pieces, content_type, ending = as_markdown(conversation, messages), "text/markdown; charset=utf-8", "md"
        name = f"conversation-{conversation.pk}.{ending}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingHttpResponse(pieces, content_type=content_type, headers=headers)


class StopView(AsyncAPIView):
    """Stop the answer that a conversation is getting, from any tab or program; what was received of it is kept."""

    permissions = {"POST": CHAT_AS_USER}
    permission_classes = [MayConverse]

    @extend_schema(
        operation_id="stop_answer",
        parameters=[shapes.ID, shapes.USER, openapi.BOT],
        request=None,
        examples=[examples.STOPPED],
        responses={200: shapes.StopSerializer, **_NONE},
    )
    async def post(self, request: Request, conversation_id: int) -> Response:
        conversation = await sync_to_async(conversation_of)(user_of(request), conversation_id, bot_of(request))
        return Response(asdict(await stop_answers(conversation.pk)))


def _fields_of(conversation: Conversation) -> dict[str, Any]:
    newest = Message.objects.filter(conversation=conversation.pk).aggregate(newest=Max("id"))["newest"]
    conversation.last_message_id = newest  # type: ignore[attr-defined]  # as the list's rows have it
    return dict(shapes.ConversationSerializer(conversation).data)


def _message_id(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) >= 2**63:
        raise InvalidInput(f"{name} must be the id of a message.")
    return int(text)


def _page_url(request: Request, name: str, message_id: int) -> str:
    """Return the address of the messages before or after one."""
    url = request.build_absolute_uri()
    for former in ("after", "before"):
        url = remove_query_param(url, former)
    return replace_query_param(url, name, message_id)


def _is_yes(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text not in ("true", "1", "false", "0"):
        raise InvalidInput(f"{name} must be true or false.")
    return text in ("true", "1")
