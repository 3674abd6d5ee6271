"""Endpoints by which a customer asks for a person, takes that back, and leaves an address."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from chat.access.permissions import CHAT_AS_USER
from chat.api import conversation_examples as examples
from chat.api import openapi
from chat.api import serializers as shapes
from chat.api.base import APIView, extend_schema
from chat.api.conversation_shapes import ID, USER
from chat.api.identity import MayConverse, bot_of, user_of
from chat.handover import actions
from chat.handover.contacts import keep_contact
from chat.limits.messages import count_handover
from chat.live.bodies import state_body
from chat.models import reasons

_PARAMETERS = [ID, USER, openapi.BOT]
_ERRORS = dict.fromkeys((400, 401, 403, 404, 409, 429), shapes.ErrorSerializer)


class EscalateView(APIView):
    """Ask for a person to take the conversation over; one who is asked or there already is not asked again."""

    permission_classes = [MayConverse]
    permissions = {"POST": CHAT_AS_USER}

    @extend_schema(
        operation_id="escalate",
        parameters=_PARAMETERS,
        request=None,
        examples=[examples.WAITING],
        responses={200: shapes.ConversationStateSerializer, **_ERRORS},
    )
    def post(self, request: Request, conversation_id: int) -> Response:
        actions.check_own(conversation_id, user_of(request), bot_of(request))
        return Response(state_body(actions.escalate(conversation_id, reasons.CUSTOMER_ASKED)))


class WithdrawView(APIView):
    """Take back the wish for a person while nobody has come: the bot goes on alone."""

    permission_classes = [MayConverse]
    permissions = {"POST": CHAT_AS_USER}

    @extend_schema(
        operation_id="withdraw",
        parameters=_PARAMETERS,
        request=None,
        examples=[examples.WITHDRAWN],
        responses={200: shapes.ConversationStateSerializer, **_ERRORS},
    )
    def post(self, request: Request, conversation_id: int) -> Response:
        user_id = user_of(request)
        actions.check_own(conversation_id, user_id, bot_of(request))
        count_handover(user_id)
        return Response(state_body(actions.withdraw(conversation_id)))


class ContactView(APIView):
    """Leave the e-mail address to which the customer is written if nobody is there."""

    permission_classes = [MayConverse]
    permissions = {"POST": CHAT_AS_USER}

    @extend_schema(
        operation_id="leave_contact",
        parameters=_PARAMETERS,
        request=shapes.ContactSerializer,
        examples=examples.CONTACT,
        responses={200: shapes.ConversationStateSerializer, **_ERRORS},
    )
    def post(self, request: Request, conversation_id: int) -> Response:
        data: Any = shapes.ContactSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        user_id = user_of(request)
        actions.check_own(conversation_id, user_id, bot_of(request))
        count_handover(user_id)
        return Response(state_body(keep_contact(conversation_id, data.validated_data["email"])))
