"""Shapes of requests and responses about conversations."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema_field
from rest_framework import serializers

from chat.api import openapi
from chat.api.fields import IsoDateTimeField, RowSerializer, StrictCharField
from chat.api.serializers import CitationSerializer, GroundingSerializer
from chat.conversations.management import SEARCH_MAX_CHARS, TITLE_MAX_CHARS
from chat.live.bodies import name_of
from chat.models import Conversation, Feedback, Message

ID = openapi.in_path("conversation_id", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1})
USER = OpenApiParameter(
    "user_id",
    openapi.IDENTITY,
    required=True,
    examples=[OpenApiExample("user_id", value="user_123")],
    description="Whose conversations. In a browser that has chatted, it may be left out: one's own.",
)
SEARCH = OpenApiParameter(
    "q",
    {"type": "string", "maxLength": SEARCH_MAX_CHARS, "pattern": r"^[^\u0000]*$"},
    description="Words that the title or one message has, all of them.",
)
_MESSAGE_ID = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
MESSAGES = [
    OpenApiParameter("after", _MESSAGE_ID, description="The messages after this one, the oldest of them first."),
    OpenApiParameter("before", _MESSAGE_ID, description="The last messages before this one. Without both: the newest."),
    OpenApiParameter("html", str, enum=["true", "false", "1", "0"], description="Add `html`, as the page shows it."),
    OpenApiParameter("page_size", {"type": "integer", "minimum": 1}, description="At most 200 messages are sent."),
]
EXPORT = OpenApiParameter("as", str, enum=["json", "markdown"], description="Default: json.")


@extend_schema_field(openapi.not_blank(TITLE_MAX_CHARS))
class TitleField(StrictCharField): ...


class ConversationSerializer(RowSerializer[Conversation]):
    agent = serializers.SerializerMethodField(help_text="The name of the person who answers, for customers.")
    last_message_id = serializers.IntegerField(allow_null=True, default=None)

    def get_agent(self, row: Conversation) -> str | None:
        return name_of(row.agent)

    class Meta:
        model = Conversation
        fields: tuple[str, ...] = (
            "id", "user_id", "bot", "title", "state", "agent", "contact", "created_at", "last_message_at",
            "last_message_id",
        )  # fmt: skip


class ConversationChangeSerializer(serializers.Serializer[Any]):
    title = TitleField()


class ConversationDeletionSerializer(serializers.Serializer[Any]):
    left = serializers.ListField(child=serializers.CharField(), help_text="What is erased a little later, and why.")


class FeedbackGivenSerializer(serializers.Serializer[Any]):
    value = serializers.ChoiceField(Feedback.Value.values)
    comment = serializers.CharField(allow_blank=True)


class MessageSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    role = serializers.ChoiceField(Message.Role.choices)
    text = serializers.CharField(allow_blank=True)
    html = serializers.CharField(required=False, allow_blank=True)
    created_at = IsoDateTimeField()
    author = serializers.CharField(allow_null=True, allow_blank=True, help_text="The name of the person who wrote it.")
    client_id = serializers.UUIDField(allow_null=True)
    context_id = serializers.UUIDField(allow_null=True)
    citations = CitationSerializer(many=True)
    grounding = GroundingSerializer(allow_null=True)
    flags = serializers.ListField(child=serializers.CharField())
    feedback = FeedbackGivenSerializer(required=False, allow_null=True, help_text="What the user thinks of the answer.")


class MessagesSerializer(serializers.Serializer[Any]):
    messages = MessageSerializer(many=True)
    has_earlier = serializers.BooleanField(help_text="Whether there are messages before the first of these.")
    has_later = serializers.BooleanField(help_text="Whether there are messages after the last of these.")
    next = serializers.CharField(allow_null=True, help_text="The address of the messages after these.")
    previous = serializers.CharField(allow_null=True, help_text="The address of the messages before these.")


class ConversationExportSerializer(ConversationSerializer):
    messages = MessageSerializer(many=True)

    class Meta(ConversationSerializer.Meta):
        fields = (*ConversationSerializer.Meta.fields, "messages")


class StopSerializer(serializers.Serializer[Any]):
    stopped = serializers.IntegerField(help_text="Answers of this process, also those that had not begun.")
    asked_others = serializers.BooleanField(help_text="Whether the other processes were asked: not without Redis.")
