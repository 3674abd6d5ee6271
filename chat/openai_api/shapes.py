"""The shapes of requests and responses, for the OpenAPI schema: the reading itself is in the other modules."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from chat.api import openapi
from chat.api.serializers import ChatResponseSerializer
from chat.openai_api.messages import ASSISTANT, MOST_MESSAGES, REMARKS, TEXTS, USER
from chat.openai_api.parameters import EFFORTS, MOST_STOPS, STOP_MAX_CHARS, VERBOSITIES


def _parts(text: openapi.Schema, *, is_any_of: bool = False) -> openapi.Schema:
    """Return the schema of a content in parts: each has such a text, or one of them."""
    kinds = [
        {
            "type": "object",
            "required": ["type", name],
            "properties": {"type": {"enum": [kind]}, name: text},
        }
        for kind, name in TEXTS.items()
    ]
    return {"type": "array", "contains" if is_any_of else "items": {"anyOf": kinds}}


_CONTENT = {"anyOf": [openapi.TEXT, _parts(openapi.TEXT)]}
_MESSAGE = {
    "anyOf": [
        {
            "type": "object",
            "required": ["role", "content"],
            "properties": {"role": {"enum": [USER, *REMARKS]}, "content": _CONTENT},
        },
        {
            "type": "object",
            "required": ["role"],
            "properties": {"role": {"enum": [ASSISTANT]}, "content": {"anyOf": [_CONTENT, {"type": "null"}]}},
        },
    ]
}
_QUESTION = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {
        "role": {"enum": [USER]},
        "content": {"anyOf": [openapi.MESSAGE, _parts(openapi.MESSAGE, is_any_of=True)]},
    },
}
_STOP = {"type": "string", "minLength": 1, "maxLength": STOP_MAX_CHARS, "pattern": r"^[^\u0000]*$"}


@extend_schema_field(
    {
        "type": "array",
        "minItems": 1,
        "maxItems": MOST_MESSAGES,
        "items": _MESSAGE,
        "contains": _QUESTION,
        "description": "The conversation so far; the last question in it is answered. Only text is read.",
    }
)
class MessagesField(serializers.JSONField): ...


@extend_schema_field(openapi.not_blank())
class ModelNameField(serializers.CharField): ...


@extend_schema_field({"anyOf": [openapi.IDENTITY, {"enum": ["", None]}]})
class UserField(serializers.CharField): ...


@extend_schema_field({"anyOf": [_STOP, {"type": "array", "maxItems": MOST_STOPS, "items": _STOP}, {"type": "null"}]})
class StopField(serializers.JSONField): ...


@extend_schema_field({"type": ["object", "null"], "properties": {"include_usage": {"type": ["boolean", "null"]}}})
class StreamOptionsField(serializers.JSONField): ...


@extend_schema_field({"type": ["object", "null"], "required": ["type"], "properties": {"type": {"enum": ["text"]}}})
class ResponseFormatField(serializers.JSONField): ...


@extend_schema_field({"anyOf": [{"type": "integer", "enum": [1]}, {"type": "null"}]})
class OneField(serializers.IntegerField): ...


@extend_schema_field({"type": "null"})
class NullField(serializers.JSONField): ...


class CompletionRequestSerializer(serializers.Serializer[Any]):
    model = ModelNameField(help_text="A model of `GET /v1/models`, or `default` for its first.")
    messages = MessagesField()
    user = UserField(
        required=False, allow_null=True, help_text="Who asks; without it the key's user, or an id of the key's own."
    )
    safety_identifier = UserField(required=False, help_text="The same, where `user` is not given.")
    stream = serializers.BooleanField(required=False, allow_null=True)
    stream_options = StreamOptionsField(required=False)
    max_completion_tokens = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=2**31)
    max_tokens = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=2**31)
    temperature = serializers.FloatField(required=False, allow_null=True, min_value=0, max_value=2)
    top_p = serializers.FloatField(required=False, allow_null=True, min_value=0, max_value=1)
    frequency_penalty = serializers.FloatField(required=False, allow_null=True, min_value=-2, max_value=2)
    presence_penalty = serializers.FloatField(required=False, allow_null=True, min_value=-2, max_value=2)
    seed = serializers.IntegerField(required=False, allow_null=True, min_value=-(2**63), max_value=2**63 - 1)
    stop = StopField(required=False)
    reasoning_effort = serializers.ChoiceField(EFFORTS, required=False, allow_null=True)
    verbosity = serializers.ChoiceField(VERBOSITIES, required=False, allow_null=True)
    n = OneField(required=False)
    response_format = ResponseFormatField(required=False)
    tool_choice = serializers.ChoiceField(["none", "auto"], required=False, allow_null=True)


class AnnotationSerializer(serializers.Serializer[Any]):
    class UrlCitationSerializer(serializers.Serializer[Any]):
        start_index = serializers.IntegerField(help_text="Of the mark in the text, in characters (code points).")
        end_index = serializers.IntegerField(help_text="The first character after the mark.")
        url = serializers.CharField()
        title = serializers.CharField()

    type = serializers.ChoiceField(["url_citation"])
    url_citation = UrlCitationSerializer()


class FabraSerializer(ChatResponseSerializer):
    """What `POST /chat` answers beside the text."""

    response = serializers.CharField(
        required=False, help_text="The bot's own text, where the message holds more, or a stream held other citations."
    )
    context_used = None  # type: ignore[assignment]
    usage = serializers.DictField()
    model = serializers.CharField()
    ignored = serializers.ListField(child=serializers.CharField(), help_text="What of the request had no effect.")


class UsageSerializer(serializers.Serializer[Any]):
    prompt_tokens = serializers.IntegerField(help_text="0 where no language model was asked.")
    completion_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


class CompletionSerializer(serializers.Serializer[Any]):
    class CompletionChoiceSerializer(serializers.Serializer[Any]):
        class CompletionMessageSerializer(serializers.Serializer[Any]):
            role = serializers.ChoiceField(["assistant"])
            content = serializers.CharField(allow_blank=True)
            refusal = NullField()
            annotations = AnnotationSerializer(many=True)

        index = serializers.IntegerField()
        message = CompletionMessageSerializer()
        logprobs = NullField()
        finish_reason = serializers.ChoiceField(["stop", "length", "content_filter"])

    id = serializers.CharField()
    object = serializers.ChoiceField(["chat.completion"])
    created = serializers.IntegerField()
    model = serializers.CharField()
    choices = CompletionChoiceSerializer(many=True)
    usage = UsageSerializer()
    fabra = FabraSerializer(required=False, help_text="Not in the answer to a front end's task, such as a title.")


CHUNK_EVENT: openapi.Schema = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "string", "description": "A `chat.completion.chunk` as JSON, at last `[DONE]`."}},
}


class ModelSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    object = serializers.ChoiceField(["model"])
    created = serializers.IntegerField()
    owned_by = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    max_context_tokens = serializers.IntegerField(allow_null=True)


class ModelListSerializer(serializers.Serializer[Any]):
    object = serializers.ChoiceField(["list"])
    data = ModelSerializer(many=True)  # type: ignore[assignment]


class OpenAIErrorSerializer(serializers.Serializer[Any]):
    class OpenAIErrorDetailSerializer(serializers.Serializer[Any]):
        message = serializers.CharField()
        type = serializers.CharField()
        param = serializers.CharField(allow_null=True)
        code = serializers.CharField()

    error = OpenAIErrorDetailSerializer()


_STATUSES = (400, 401, 402, 403, 404, 405, 409, 410, 413, 415, 422, 429, 500, 502, 503, 504)
ERRORS = dict.fromkeys(_STATUSES, OpenAIErrorSerializer)
