"""Shapes of requests and responses; everything beyond the shape is checked by the code that stores the values."""

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction
from rest_framework import serializers

from chat.api.etags import etag_of
from chat.api.fields import (
    AudienceField,
    BotField,
    ClientIdField,
    ContactField,
    ContextNameField,
    DocumentTextField,
    IdentityField,
    IndexNameField,
    IsoDateTimeField,
    KeyField,
    MessageField,
    ObjectField,
    PlainTextField,
    RowSerializer,
    StrictBooleanField,
    StrictCharField,
    StrictIntegerField,
)
from chat.models import Conversation
from common.links import absolute_link
from retrieval.models import Document
from retrieval.search.hits import Hit


class ChatRequestSerializer(serializers.Serializer[Any]):
    user_id = IdentityField()
    message = MessageField()
    conversation_id = StrictIntegerField(required=False, allow_null=True, min_value=1, max_value=2**63 - 1)
    client_id = ClientIdField(
        required=False, allow_null=True, help_text="Made by the client: what it sends twice is answered once."
    )
    bot = BotField(
        required=False, default="", help_text="Which bot is asked; by default the conversation's, or the key's."
    )
    context = ContextNameField(  # type: ignore[assignment]  # DRF takes its fields off the class
        required=False,
        default="",
        help_text="The name of the declared context to answer from; by default the bot's, the key's or the settings'.",
    )
    stream = StrictBooleanField(required=False, default=False)


class CitationSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    document_id = serializers.CharField()
    title = serializers.CharField()
    heading_path = serializers.CharField()
    index = serializers.CharField()
    version = serializers.IntegerField()
    chunk_id = serializers.IntegerField()
    chunk = serializers.IntegerField()
    score = serializers.FloatField()
    is_cited = serializers.BooleanField()
    url = serializers.CharField(allow_blank=True, help_text="The passage's page, if the document has a link.")
    quote = serializers.CharField()


class JudgedSentenceSerializer(serializers.Serializer[Any]):
    start = serializers.IntegerField(help_text="In the response, in characters (code points).")
    end = serializers.IntegerField()
    verdict = serializers.ChoiceField(["supported", "partly", "not"])
    passage = serializers.IntegerField(allow_null=True, help_text="The number of the passage that is nearest.")
    span = serializers.ListField(
        child=serializers.IntegerField(), allow_null=True, help_text="Start and end in the passage's content."
    )
    reasons = serializers.ListField(
        child=serializers.CharField(), help_text="Why it is not supported, such as `number 30`, or `words`."
    )


class GroundingSerializer(serializers.Serializer[Any]):
    share = serializers.FloatField(allow_null=True, help_text="Of the judged sentences, those that are supported.")
    sentences = JudgedSentenceSerializer(many=True)
    dropped = serializers.ListField(
        child=serializers.IntegerField(), help_text="Passages that were cited and support nothing of what cited them."
    )
    degraded = serializers.BooleanField(required=False, help_text="True: the embedder failed, words were compared.")


_OF_SITES = "left out for a public key, whose answers everybody with the page open can read."


class ChatResponseSerializer(serializers.Serializer[Any]):
    response = serializers.CharField()
    context_used = serializers.CharField(required=False, help_text=f"What the model got; {_OF_SITES}")
    context_id = serializers.UUIDField(allow_null=True)
    conversation_id = serializers.IntegerField()
    message_id = serializers.IntegerField(allow_null=True, help_text="For feedback; null if it was stopped too early.")
    citations = CitationSerializer(many=True)
    usage = serializers.DictField(required=False, help_text=f"Tokens and cost; {_OF_SITES}")
    model = serializers.CharField(required=False, help_text=f"Which model answered; {_OF_SITES}")
    extractive = serializers.BooleanField()
    notice = serializers.CharField(required=False)
    flags = serializers.ListField(child=serializers.CharField())
    grounding = GroundingSerializer(allow_null=True, help_text="Which sentences the passages support.")
    state = serializers.ChoiceField(choices=Conversation.State.choices, help_text="Who answers in the conversation.")
    notices = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="What changed with this message, for the customer."
    )
    conversation_was_closed = serializers.BooleanField(
        required=False, help_text="The message began a new conversation, because the one it was sent to is closed."
    )


class ConversationStateSerializer(serializers.Serializer[Any]):
    conversation_id = serializers.IntegerField()
    state = serializers.ChoiceField(choices=Conversation.State.choices, help_text="Who answers in the conversation.")
    agent = serializers.CharField(allow_null=True, help_text="The name of the person who answers.")


class ContactSerializer(serializers.Serializer[Any]):
    email = ContactField()


class ErrorSerializer(serializers.Serializer[Any]):
    class Detail(serializers.Serializer[Any]):
        code = serializers.CharField()
        message = serializers.CharField()

    error = Detail()


class KnownFieldsSerializer(serializers.Serializer[Any]):
    """Refuse a field that is not known: a mistyped `audience`, left out, would show the document to everyone."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := [name for name in data if name not in self.fields]):
            known = ", ".join(self.fields)
            raise serializers.ValidationError({str(unknown[0])[:100]: [f"There is no such field; there are: {known}."]})
        return super().to_internal_value(data)


class KnownFieldsSchema(OpenApiSerializerExtension):
    """Say in the schema that an object has no other fields."""

    target_class = "chat.api.serializers.KnownFieldsSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return schema | {"additionalProperties": False}


class DocumentRequestSerializer(KnownFieldsSerializer):
    index_name = IndexNameField()
    entity_id = KeyField()
    text = DocumentTextField()
    title = PlainTextField(required=False, default="")
    metadata = ObjectField(required=False, default=dict)
    audience = AudienceField(
        child=StrictCharField(), required=False, default=list, help_text="Names of who may find it; empty: everyone."
    )


class BulkLineSerializer(KnownFieldsSerializer):
    action = serializers.ChoiceField(["index", "delete"], required=False, default="index")
    entity_id = KeyField()
    text = DocumentTextField(required=False)
    title = PlainTextField(required=False, default="")
    metadata = ObjectField(required=False, default=dict)
    audience = AudienceField(child=StrictCharField(), required=False, default=list)


class IndexResultSerializer(serializers.Serializer[Any]):
    document_id = serializers.CharField()
    version = serializers.IntegerField()
    is_changed = serializers.BooleanField()
    chunk_count = serializers.IntegerField()
    embedded_count = serializers.IntegerField()


class PurgeSerializer(serializers.Serializer[Any]):
    left = serializers.ListField(child=serializers.CharField(), help_text="What is erased a little later, and why.")


class DocumentSerializer(RowSerializer[Document]):
    index_name = serializers.CharField(source="index.name")
    version = serializers.IntegerField(source="version.number", default=None, allow_null=True)
    etag = serializers.SerializerMethodField(help_text="For If-Match and If-None-Match.")

    def get_etag(self, row: Document) -> str:
        return etag_of(row)

    class Meta:
        model = Document
        fields: tuple[str, ...] = (
            "id", "index_name", "entity_id", "title", "metadata", "audience", "state", "error", "version", "etag",
            "created_at", "updated_at", "indexed_at", "deleted_at",
        )  # fmt: skip


class DocumentDetailSerializer(DocumentSerializer):
    class Meta(DocumentSerializer.Meta):
        fields = (*DocumentSerializer.Meta.fields, "text")


class HitSerializer(serializers.Serializer[Any]):
    url = serializers.SerializerMethodField(help_text="The passage's page, if the document has a link.")

    def get_url(self, hit: Hit) -> str:
        return absolute_link(hit.url, self.context["request"])

    content = serializers.CharField()
    score = serializers.FloatField()
    metadata = serializers.DictField()
    document_id = serializers.CharField()
    chunk_id = serializers.IntegerField()
    title = serializers.CharField()
    heading_path = serializers.CharField()
    index = serializers.CharField()
    version = serializers.IntegerField()
    position = serializers.IntegerField()
    semantic_score = serializers.FloatField(allow_null=True)
    lexical_score = serializers.FloatField(allow_null=True)
    semantic_rank = serializers.IntegerField(allow_null=True)
    lexical_rank = serializers.IntegerField(allow_null=True)
    rerank_score = serializers.FloatField(allow_null=True)
    duplicates = serializers.ListField(child=serializers.CharField())


class SearchResponseSerializer(serializers.Serializer[Any]):
    hits = HitSerializer(many=True)
    flags = serializers.ListField(child=serializers.CharField())


class FeatureReadSerializer(serializers.Serializer[Any]):
    value = serializers.JSONField()
    status = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    event_timestamp = IsoDateTimeField(allow_null=True)
    created_at = IsoDateTimeField(allow_null=True)
    age_s = serializers.FloatField(allow_null=True)
    is_degraded = serializers.BooleanField()


class FeaturesSerializer(serializers.Serializer[Any]):
    """The values of one entity, by the names of the features."""

    entity = serializers.CharField()
    entity_id = serializers.CharField()
    features = serializers.DictField(child=FeatureReadSerializer())
