"""Endpoints by which another desk answers customers: assign, reply, hand back, close, transfer.

Each acts in the name of an agent: the user of the session, the owner of the key, or whom the request names.
"""

from typing import Any

from django.contrib.auth import get_user_model
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from chat.access.permissions import ANSWER_CONVERSATION, REASSIGN_CONVERSATION
from chat.api import examples, openapi
from chat.api.base import APIView, extend_schema
from chat.api.conversation_shapes import ID
from chat.api.fields import ClientIdField, MessageField, StrictCharField
from chat.api.serializers import ConversationStateSerializer, ErrorSerializer
from chat.errors import AgentForbidden, ConversationNotFound, InvalidAgent
from chat.handover import actions
from chat.idempotency.records import RequestClaim
from chat.idempotency.views import idempotent_now
from chat.live.bodies import state_body
from chat.models import ApiKey, Conversation
from common.errors import InvalidInput
from common.text import storable

_ERRORS = dict.fromkeys((400, 401, 403, 404, 409, 413, 422, 429), ErrorSerializer)


@extend_schema_field({**openapi.TEXT, "maxLength": 150})
class UserNameField(StrictCharField): ...


@extend_schema_field({**openapi.TEXT, "maxLength": actions.NOTE_MAX_CHARS})
class NoteField(StrictCharField): ...


class AgentSerializer(serializers.Serializer[Any]):
    agent = UserNameField(
        required=False, default="",
        help_text="The user name of the agent who acts. By default the owner of the key, or the session's user.",
    )  # fmt: skip


class ReplyRequestSerializer(AgentSerializer):
    text = MessageField()
    client_id = ClientIdField(required=False, help_text="What is sent twice with it is one message.")


class ReplySerializer(ConversationStateSerializer):
    message_id = serializers.IntegerField()


class CloseRequestSerializer(AgentSerializer):
    note = NoteField(required=False, default="", help_text="How it ended; kept in the customer's ticket.")


class TransferRequestSerializer(AgentSerializer):
    to = UserNameField(allow_null=True, help_text="The user name of another agent; null puts it into the queue.")


class DeskView(APIView):
    permissions = {"POST": ANSWER_CONVERSATION}

    def _read(self, request: Request, shape: type[AgentSerializer], conversation_id: int) -> tuple[Any, dict[str, Any]]:
        """Return the agent who acts, and what the request says."""
        data = shape(data=request.data)
        data.is_valid(raise_exception=True)
        _check_within(request, conversation_id)
        return agent_of(request, data.validated_data["agent"]), data.validated_data


class AssignView(DeskView):
    """Give a conversation to an agent: the bot is silent from then on. Repeated, it changes nothing."""

    @extend_schema(
        operation_id="assign_conversation",
        parameters=[ID, openapi.IDEMPOTENCY_KEY],
        examples=examples.DESK_ASSIGN,
        request=AgentSerializer,
        responses={200: ConversationStateSerializer, **_ERRORS},
    )
    @idempotent_now()
    def post(self, request: Request, claim: RequestClaim | None = None, *, conversation_id: int) -> Response:
        agent, _ = self._read(request, AgentSerializer, conversation_id)
        return Response(state_body(actions.assign(conversation_id, agent)))


class ReplyView(DeskView):
    """Send the customer what the agent writes, who holds the conversation; Markdown works."""

    @extend_schema(
        operation_id="reply_to_customer",
        parameters=[ID, openapi.IDEMPOTENCY_KEY],
        examples=examples.DESK_REPLY,
        request=ReplyRequestSerializer,
        responses={200: ReplySerializer, **_ERRORS},
    )
    @idempotent_now()
    def post(self, request: Request, claim: RequestClaim | None = None, *, conversation_id: int) -> Response:
        agent, given = self._read(request, ReplyRequestSerializer, conversation_id)
        # What the first attempt stored before its process died is found by it.
        client_id = given.get("client_id") or (claim.request_id if claim else None)
        message = actions.send_as_agent(conversation_id, agent, given["text"], client_id=client_id)
        return Response({**state_body(message.conversation), "message_id": message.pk})


class HandBackView(DeskView):
    """Let the bot go on; it answers the customer's last message if nobody has. Repeated, it changes nothing."""

    @extend_schema(
        operation_id="hand_back_conversation",
        parameters=[ID, openapi.IDEMPOTENCY_KEY],
        examples=examples.DESK_HAND_BACK,
        request=AgentSerializer,
        responses={200: ConversationStateSerializer, **_ERRORS},
    )
    @idempotent_now()
    def post(self, request: Request, claim: RequestClaim | None = None, *, conversation_id: int) -> Response:
        agent, _ = self._read(request, AgentSerializer, conversation_id)
        return Response(state_body(actions.hand_back(conversation_id, agent)))


class CloseView(DeskView):
    """End a conversation: the customer's next message begins another one. Repeated, it changes nothing."""

    @extend_schema(
        operation_id="close_conversation",
        parameters=[ID, openapi.IDEMPOTENCY_KEY],
        examples=examples.DESK_CLOSE,
        request=CloseRequestSerializer,
        responses={200: ConversationStateSerializer, **_ERRORS},
    )
    @idempotent_now()
    def post(self, request: Request, claim: RequestClaim | None = None, *, conversation_id: int) -> Response:
        agent, given = self._read(request, CloseRequestSerializer, conversation_id)
        return Response(state_body(actions.close(conversation_id, agent, given["note"])))


class TransferView(DeskView):
    """Pass a conversation on to another agent, or with `"to": null` into the queue. Repeated, it changes nothing."""

    @extend_schema(
        operation_id="transfer_conversation",
        parameters=[ID, openapi.IDEMPOTENCY_KEY],
        examples=examples.DESK_TRANSFER,
        request=TransferRequestSerializer,
        responses={200: ConversationStateSerializer, **_ERRORS},
    )
    @idempotent_now()
    def post(self, request: Request, claim: RequestClaim | None = None, *, conversation_id: int) -> Response:
        agent, given = self._read(request, TransferRequestSerializer, conversation_id)
        to = None if given["to"] is None else user_named(given["to"])
        return Response(state_body(actions.transfer(conversation_id, agent, to)))


def agent_of(request: Request, name: str) -> Any:
    """Return the user in whose name the request acts.

    A key without an owner names one; a session, or a key with an owner, another one only with the permission to
    reassign. Raise InvalidInput, InvalidAgent or AgentForbidden.
    """
    if isinstance(request.auth, ApiKey):
        own = request.auth.owner
    else:
        own = request.user if request.user.is_authenticated else None
    if not name:
        if own is None:
            raise InvalidInput("agent must be the user name of the person who acts, since this key has no owner.")
        return own
    if own is not None and name == own.get_username():
        return own
    if own is not None and not own.has_perm(REASSIGN_CONVERSATION):
        raise AgentForbidden(f"To act in another agent's name needs the permission {REASSIGN_CONVERSATION}.")
    agent = user_named(name)
    if not actions.may_answer(agent):
        raise InvalidAgent(f"{agent.get_username()} may not answer customers.")
    return agent


def user_named(name: str) -> Any:
    """Return the user of this name; raise InvalidAgent."""
    users = get_user_model()
    is_name = storable(name) == name  # PostgreSQL refuses NUL, and nothing can encode half a pair of surrogates
    found = users._default_manager.filter(**{users.USERNAME_FIELD: name}).first() if is_name else None
    if found is None:
        raise InvalidAgent("There is no user of this name.")
    return found


def _check_within(request: Request, conversation_id: int) -> None:
    """Raise ConversationNotFound for one that is not of the users, or the bot, that a key is bound to."""
    found = Conversation.objects.filter(pk=conversation_id).values_list("user_id", "bot").first()
    key = request.auth if isinstance(request.auth, ApiKey) else None
    if found is None or (key and ((key.users and found[0] not in key.users) or (key.bot and found[1] != key.bot))):
        raise ConversationNotFound("There is no such conversation.")
