"""The shape of a whole trace, as `GET /debug/context/` returns it, for the OpenAPI schema."""

from typing import Any

from rest_framework import serializers

from chat.api.examples import CONTEXT_ID, HIT, answer
from chat.api.fields import IsoDateTimeField
from chat.api.traces import TraceItemSerializer


class EvidenceItemSerializer(TraceItemSerializer):
    title = dropped_as = None  # type: ignore[assignment]  # the one is in the hit, the other follows from the reason
    suspicions = serializers.ListField(child=serializers.CharField(), help_text="What in it speaks to the model.")


class EvidenceSearchSerializer(serializers.Serializer[Any]):
    index = serializers.CharField()
    index_id = serializers.IntegerField()
    index_version = serializers.IntegerField(help_text="Of all that the index held at that time.")
    query = serializers.CharField(allow_blank=True)
    top_k = serializers.IntegerField()
    filters = serializers.JSONField()
    options = serializers.DictField()
    hits = serializers.ListField(child=serializers.DictField(), help_text="Each with its scores and ranks.")
    flags = serializers.ListField(child=serializers.CharField())
    is_cached = serializers.BooleanField()
    sql_ms = serializers.FloatField(allow_null=True)
    embed_ms = serializers.FloatField(allow_null=True)


class BudgetSerializer(serializers.Serializer[Any]):
    max_tokens = serializers.IntegerField()
    tokens = serializers.IntegerField(help_text="Of the kept items and what separates them.")
    prompt_tokens = serializers.IntegerField(allow_null=True)
    question_tokens = serializers.IntegerField(allow_null=True)
    encoding = serializers.CharField()
    encoding_is_exact = serializers.BooleanField()
    model = serializers.CharField(allow_blank=True)
    overflow = serializers.BooleanField()


class TimingsSerializer(serializers.Serializer[Any]):
    function = serializers.FloatField()
    assembly = serializers.FloatField()


class EvidenceSerializer(serializers.Serializer[Any]):
    """All that was read and decided for a context; docs/contexts.md explains it."""

    hash = serializers.CharField(help_text="SHA-256 of the canonical JSON of all the rest.")
    format = serializers.IntegerField()
    context_id = serializers.UUIDField()
    context = serializers.CharField()  # type: ignore[assignment]
    defined_at = serializers.CharField()
    created_at = IsoDateTimeField()
    inputs = serializers.DictField(child=serializers.CharField())
    features = serializers.ListField(child=serializers.DictField(), help_text="Each read, with age and source.")
    searches = EvidenceSearchSerializer(many=True)
    retrievers = serializers.ListField(child=serializers.DictField())
    contexts = serializers.ListField(child=serializers.JSONField(), help_text="What it called in its turn.")
    items = EvidenceItemSerializer(many=True, required=False)
    budget = BudgetSerializer(required=False)
    messages = serializers.ListField(
        child=serializers.DictField(child=serializers.CharField()),
        required=False, allow_null=True, help_text="What a model was sent; null if none was asked.",
    )  # fmt: skip
    flags = serializers.ListField(child=serializers.CharField())
    freshness = serializers.DictField(allow_null=True)
    escalation = serializers.CharField(allow_null=True)
    timings_ms = TimingsSerializer()


EXAMPLE = answer(
    "A trace",
    {
        "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "format": 1,
        "context_id": CONTEXT_ID, "context": "chat_context_premium", "defined_at": "chat/definitions.py:80",
        "created_at": "2026-02-01T09:30:00Z",
        "inputs": {"user_id": "user_123", "query": "How do I reset my password?"},
        "features": [{"feature": "user_tier", "value": "premium", "status": "fresh", "age_s": 12.5}],
        "searches": [
            {
                "index": "knowledge_base", "index_id": 1, "index_version": 41, "query": "How do I reset my password?",
                "top_k": 5, "filters": None, "options": {}, "hits": [HIT], "flags": [], "is_cached": False,
                "sql_ms": 3.2, "embed_ms": 1.8,
            }
        ],
        "retrievers": [], "contexts": [],
        "items": [
            {
                "position": 0, "content": "You are a helpful assistant.", "priority": 0, "required": True,
                "source_id": None, "tokens": 6, "kept": True, "reason": "required", "part": "system", "suspicions": [],
            }
        ],
        "budget": {
            "max_tokens": 8000, "tokens": 350, "prompt_tokens": None, "question_tokens": 7, "encoding": "o200k_base",
            "encoding_is_exact": True, "model": "", "overflow": False,
        },
        "messages": None, "flags": [], "freshness": None, "escalation": None,
        "timings_ms": {"function": 9.1, "assembly": 10.4},
    },
)  # fmt: skip
