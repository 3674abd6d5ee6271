"""`PUT /api/messages/{id}/feedback/`: what a user thinks of an answer."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from chat.access.permissions import CHAT_AS_USER
from chat.api import conversation_examples as examples
from chat.api import openapi
from chat.api.base import APIView, extend_schema
from chat.api.conversation_shapes import USER
from chat.api.fields import StrictCharField
from chat.api.identity import MayConverse, bot_of, user_of
from chat.api.serializers import ErrorSerializer
from chat.feedback import give_feedback
from chat.limits.messages import count_feedback
from chat.models import Feedback
from chat.models.feedback import COMMENT_MAX_CHARS


@extend_schema_field({**openapi.TEXT, "maxLength": COMMENT_MAX_CHARS})
class CommentField(StrictCharField): ...


class FeedbackRequestSerializer(serializers.Serializer[Any]):
    value = serializers.ChoiceField(Feedback.Value.values, allow_null=True, help_text="null removes the feedback.")
    comment = CommentField(required=False, default="")


class FeedbackSerializer(serializers.Serializer[Any]):
    message_id = serializers.IntegerField()
    value = serializers.ChoiceField(Feedback.Value.values, allow_null=True)
    comment = serializers.CharField()


class FeedbackView(APIView):
    """Replace what the user thinks of an answer; one's own conversations only."""

    permissions = {"PUT": CHAT_AS_USER}
    permission_classes = [MayConverse]

    @extend_schema(
        operation_id="give_feedback",
        parameters=[openapi.in_path("message_id", {"type": "integer", "minimum": 1}), USER, openapi.BOT],
        examples=examples.FEEDBACK,
        request=FeedbackRequestSerializer,
        responses={200: FeedbackSerializer, **dict.fromkeys((400, 403, 404, 429), ErrorSerializer)},
    )
    def put(self, request: Request, message_id: int) -> Response:
        data = FeedbackRequestSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        user_id = user_of(request)
        count_feedback(user_id)
        given = give_feedback(message_id, user_id, **data.validated_data, bot=bot_of(request))
        kept = {"value": given.value, "comment": given.comment} if given else {"value": None, "comment": ""}
        return Response({"message_id": message_id, **kept})
