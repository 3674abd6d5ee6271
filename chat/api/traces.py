"""What the model saw for an answer: a summary of its trace, for the page's drawer."""

import json
import uuid
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from chat.access.permissions import VIEW_TRACE
from chat.api import openapi
from chat.api.auth import caller_of
from chat.api.base import APIView, extend_schema
from chat.api.fields import IsoDateTimeField
from chat.api.serializers import ErrorSerializer
from common.errors import NotFound
from contexts.models import TraceBody


class TraceItemSerializer(serializers.Serializer[Any]):
    position = serializers.IntegerField()
    title = serializers.CharField(allow_blank=True, help_text="Of the passage's document, if the item is a passage.")
    content = serializers.CharField(allow_blank=True)
    priority = serializers.IntegerField(help_text="0 is the most important.")
    required = serializers.BooleanField()  # type: ignore[assignment]
    source_id = serializers.CharField(allow_null=True)
    tokens = serializers.IntegerField()
    kept = serializers.BooleanField()
    reason = serializers.CharField(allow_blank=True)
    part = serializers.CharField(help_text="Where it stands: system, history or user.")


class TraceSearchSerializer(serializers.Serializer[Any]):
    index = serializers.CharField()
    query = serializers.CharField()
    history = serializers.ListField(child=serializers.CharField(), help_text="Earlier questions it was ranked by, too.")
    found = serializers.IntegerField()


class TraceSerializer(serializers.Serializer[Any]):
    context_id = serializers.UUIDField()
    context = serializers.CharField()  # type: ignore[assignment]
    query = serializers.CharField(allow_blank=True)
    created_at = IsoDateTimeField()
    state = serializers.CharField()
    model = serializers.CharField(allow_blank=True)
    tokens = serializers.IntegerField(help_text="Of the kept items and what separates them.")
    max_tokens = serializers.IntegerField()
    usage = serializers.DictField(allow_null=True)
    flags = serializers.ListField(child=serializers.CharField())
    searches = TraceSearchSerializer(many=True)
    items = TraceItemSerializer(many=True)


class TraceView(APIView):
    """What the model saw for an answer: the searches, and each item with its tokens, kept or dropped, and why."""

    permissions = {"GET": VIEW_TRACE}

    @extend_schema(
        operation_id="trace",
        parameters=[openapi.in_path("context_id", {"type": "string", "format": "uuid"})],
        responses={200: TraceSerializer, 403: ErrorSerializer, 404: ErrorSerializer},
    )
    def get(self, request: Request, context_id: uuid.UUID) -> Response:
        body = TraceBody.objects.select_related("trace").filter(pk=context_id).first()
        if body is None:
            raise NotFound(f"There is no trace {context_id}.")
        evidence = json.loads(body.text)
        searches = evidence.get("searches", [])
        caller = caller_of(request)
        if body.trace.user_id:
            caller.check_user(body.trace.user_id)
        caller.check_indexes({search["index"] for search in searches})
        return Response(TraceSerializer(_summary(body, evidence, searches)).data)


def _summary(body: TraceBody, evidence: dict[str, Any], searches: list[dict[str, Any]]) -> dict[str, Any]:
    trace = body.trace
    titles = {f"chunk:{hit['chunk_id']}": hit["title"] for search in searches for hit in search["hits"]}
    return {
        "context_id": trace.pk,
        "context": trace.context,
        "query": trace.query,
        "created_at": trace.created_at,
        "state": trace.state,
        "model": trace.model,
        "tokens": trace.tokens,
        "max_tokens": trace.max_tokens,
        "usage": (trace.outcome or {}).get("usage"),
        "flags": trace.flags,
        "searches": [_search_of(search) for search in searches],
        "items": [item | {"title": titles.get(item["source_id"], "")} for item in evidence.get("items", [])],
    }


def _search_of(search: dict[str, Any]) -> dict[str, Any]:
    history = search.get("history") or search.get("options", {}).get("history") or []
    return {
        "index": search["index"], "query": search["query"], "found": len(search["hits"]),
        "history": [question for question in history if isinstance(question, str)],
    }  # fmt: skip
