"""The whole passages of an answer, as the model got them: a citation itself quotes only the beginning."""

import json
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from chat.access.permissions import CHAT_AS_USER
from chat.api import conversation_examples as examples
from chat.api import openapi
from chat.api.auth import caller_of
from chat.api.base import APIView, extend_schema
from chat.api.conversation_shapes import USER
from chat.api.identity import MayConverse, bot_of, user_of
from chat.api.serializers import ErrorSerializer
from chat.citations import passages_in
from chat.models import Message
from common.errors import NotFound
from common.markdown import render
from retrieval.model_sources.links import object_url


class PassageSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField(help_text="In the answer, as 1 in [1].")
    content = serializers.CharField()
    html = serializers.CharField()
    admin_url = serializers.CharField(
        help_text="The admin page of the object that the passage is of, for staff who may see it; else empty."
    )


class PassagesSerializer(serializers.Serializer[Any]):
    passages = PassageSerializer(many=True)


class PassagesView(APIView):
    """The passages that an answer of one's own conversation rests on, from its trace."""

    permissions = {"GET": CHAT_AS_USER}
    permission_classes = [MayConverse]

    @extend_schema(
        operation_id="passages",
        parameters=[
            openapi.in_path("message_id", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}),
            USER,
            openapi.BOT,
        ],
        examples=[examples.PASSAGES],
        responses={200: PassagesSerializer, **dict.fromkeys((400, 403, 404), ErrorSerializer)},
    )
    def get(self, request: Request, message_id: int) -> Response:
        answers = Message.objects.filter(role=Message.Role.ASSISTANT, conversation__user_id=user_of(request))
        if bot := bot_of(request):
            answers = answers.filter(conversation__bot=bot)
        answer = answers.select_related("trace__body").filter(pk=message_id).first()
        if answer is None:
            raise NotFound(f"There is no answer {message_id}.")
        evidence = json.loads(answer.trace.body.text) if answer.trace else {}
        shown = {citation["number"] for citation in answer.citations}
        passages = [passage for passage in passages_in(evidence) if passage.number in shown]
        caller_of(request).check_indexes({passage.index for passage in passages})  # a key may be bound to others
        return Response(
            {
                "passages": [
                    {
                        "number": passage.number,
                        "content": passage.content,
                        "html": render(passage.content),
                        "admin_url": object_url(passage.index, passage.document_id, request),
                    }
                    for passage in passages
                ]
            }
        )
