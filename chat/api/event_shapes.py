"""Shapes of events, one or a batch, and of what became of them."""

from typing import Any

from rest_framework import serializers

from chat.api.fields import EventIdField, EventTypeField, IdentityField, MomentField, ObjectField, RowSerializer
from chat.api.serializers import ErrorSerializer
from events.handlers import notice_of
from events.models import Event


class EventRequestSerializer(serializers.Serializer[Any]):
    event_type = EventTypeField()
    entity_id = IdentityField()
    payload = ObjectField(required=False, default=dict)
    id = EventIdField(required=False)
    occurred_at = MomentField(required=False)


class EventBatchSerializer(serializers.Serializer[Any]):
    events = serializers.ListField(child=serializers.JSONField(), allow_empty=False)


class EventBatchSchema(serializers.Serializer[Any]):
    """A batch as the schema describes it; each event is checked on its own, so that an error has its position."""

    events = serializers.ListField(child=EventRequestSerializer(), min_length=1)


class ReceiptSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    state = serializers.CharField()
    is_new = serializers.BooleanField(help_text="False: it was received before.")


class EventBatchReceiptSerializer(serializers.Serializer[Any]):
    events = ReceiptSerializer(many=True)


class BatchErrorSerializer(serializers.Serializer[Any]):
    class BatchDetail(ErrorSerializer.Detail):
        class BatchItem(ErrorSerializer.Detail):
            position = serializers.IntegerField(help_text="In the batch, from 0.")

        items = BatchItem(many=True)

    error = BatchDetail()


class OutcomeSerializer(serializers.Serializer[Any]):
    handler = serializers.CharField()
    is_done = serializers.BooleanField()
    attempts = serializers.IntegerField()
    duration_ms = serializers.FloatField()
    detail = serializers.JSONField()


class EventSerializer(RowSerializer[Event]):
    id = serializers.CharField(source="event_id")
    handlers = OutcomeSerializer(source="outcomes", many=True)
    notice = serializers.SerializerMethodField(help_text="That no handler takes the event, if so.")

    def get_notice(self, row: Event) -> str:
        return notice_of(row)

    class Meta:
        model = Event
        fields = (
            "id", "event_type", "entity_id", "payload", "source", "sender", "state", "attempts",
            "occurred_at", "published_at", "received_at", "started_at", "applied_at", "finished_at", "handlers",
            "notice",
        )  # fmt: skip


class EventRowSerializer(serializers.ModelSerializer[Event]):
    """An event in a list: all but what it says, and what its handlers did."""

    id = serializers.CharField(source="event_id")

    class Meta:
        model = Event
        fields = (
            "id", "event_type", "entity_id", "source", "sender", "state", "attempts",
            "occurred_at", "published_at", "received_at", "started_at", "applied_at", "finished_at",
        )  # fmt: skip
