"""Traces: a list of them, and of one what the model saw for its answer."""

import json
import uuid
from typing import Any

from django.db.models import Exists, Func, JSONField, OuterRef, QuerySet
from django.db.models.functions import Cast
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from chat.access.callers import Caller
from chat.access.permissions import VIEW_TRACE
from chat.api import examples, openapi
from chat.api.auth import caller_of
from chat.api.base import APIView, ListAPIView, extend_schema
from chat.api.fields import IsoDateTimeField
from chat.api.pagination import KeysetPagination
from chat.api.parameters import choice, within
from chat.api.serializers import ErrorSerializer
from chat.models import Message
from common.errors import NotFound
from common.validation import check_text
from contexts.budget import NEVER_FITS
from contexts.models import Trace, TraceBody


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
    dropped_as = serializers.ChoiceField(
        ["over_budget", "too_large"], allow_null=True, help_text="Why it was dropped, as a code; null if it was kept."
    )
    part = serializers.CharField(help_text="Where it stands: system, history or user.")


class TraceSearchSerializer(serializers.Serializer[Any]):
    index = serializers.CharField()
    query = serializers.CharField()
    history = serializers.ListField(
        child=serializers.CharField(), help_text="Earlier questions by which it was ranked, too, the oldest first."
    )
    rewritten = serializers.CharField(
        allow_null=True, help_text="The question in a model's words, by which it was ranked as well (`FABRA_REWRITE`)."
    )
    found = serializers.IntegerField()


class TraceAttemptSerializer(serializers.Serializer[Any]):
    """One call of a model, or why it was not called; times are in milliseconds."""

    provider = serializers.CharField()
    model = serializers.CharField()
    code = serializers.CharField(
        help_text="`ok`, the error's code, `cut_off` for one that was ended from here, `paused` or `window` for none."
    )
    status = serializers.IntegerField(default=None, allow_null=True, help_text="Of HTTP, if it was an error.")
    why = serializers.CharField(default="", allow_blank=True, help_text="What the server called the error.")
    ms = serializers.FloatField(default=None, allow_null=True)
    first_ms = serializers.FloatField(default=None, allow_null=True, help_text="Until the first piece of text.")
    retried_after_ms = serializers.FloatField(
        default=None, allow_null=True, help_text="The wait before the next call of the same model."
    )
    usage = serializers.DictField(default=None, allow_null=True, help_text="What a call that failed used.")


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
    attempts = TraceAttemptSerializer(many=True, help_text="The calls of models that the answer took, in their order.")
    flags = serializers.ListField(child=serializers.CharField())
    searches = TraceSearchSerializer(many=True)
    items = TraceItemSerializer(many=True)


class TraceRowSerializer(serializers.ModelSerializer[Trace]):
    """A trace in a list: all but its evidence and its answer."""

    context_id = serializers.UUIDField(source="id")
    context = serializers.CharField()  # type: ignore[assignment]

    class Meta:
        model = Trace
        fields = (
            "context_id", "context", "user_id", "query", "created_at", "state", "model", "tokens", "max_tokens", "kept",
            "dropped", "duration_ms", "flags", "error_code", "answered_at",
        )  # fmt: skip


class NewestTraces(KeysetPagination):
    ordering = ("-created_at", "-id")


class TracesView(ListAPIView):
    """Traces, the newest first: what was asked, by whom, and what became of it. Each list is in the audit log."""

    permissions = {"GET": VIEW_TRACE}
    serializer_class = TraceRowSerializer
    pagination_class = NewestTraces

    def get_queryset(self) -> QuerySet[Trace]:
        given, caller = self.request.query_params, caller_of(self.request)
        found = _readable(caller).defer("answer", "outcome", "version_ids")
        if "user_id" in given:
            found = found.filter(user_id=caller.check_user(given["user_id"]))
        if "context" in given:
            found = found.filter(context=check_text(given["context"], "context"))
        if state := choice(self.request, "state", Trace.State.values):
            found = found.filter(state=state)
        return within(self.request, found, "created_at")

    @extend_schema(
        operation_id="list_traces",
        parameters=[
            openapi.exactly("user_id", openapi.IDENTITY), openapi.exactly("context", openapi.TEXT),
            openapi.one_of("state", Trace.State.values), *openapi.RANGE, *openapi.PAGE,
        ],
        examples=[examples.TRACE_ROWS],
    )  # fmt: skip
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


def _readable(caller: Caller) -> QuerySet[Trace]:
    """Return the traces that the caller may read, as TraceView has it for one."""
    found = Trace.objects.all()
    if caller.key and caller.key.users:
        found = found.filter(user_id__in=["", *caller.key.users])
    if caller.key and caller.key.bot:
        found = found.filter(_is_of_bot(caller.key.bot))
    if caller.indexes:  # this reads the evidence of each row, which only a key that is bound to indexes pays for
        searched = Func(
            Cast("body__text", JSONField()),
            template="jsonb_path_query_array(%(expressions)s, '$.searches[*].index')",
            output_field=JSONField(),
        )
        found = found.annotate(searched=searched).filter(searched__contained_by=caller.indexes)
    return found


def _is_of_bot(slug: str) -> Exists:
    """Return whether a trace is of a message to this bot."""
    return Exists(Message.objects.filter(trace=OuterRef("pk"), conversation__bot=slug))


class TraceView(APIView):
    """What the model saw for an answer: the searches, and each item with its tokens, kept or dropped, and why."""

    permissions = {"GET": VIEW_TRACE}

    @extend_schema(
        operation_id="trace",
        parameters=[openapi.in_path("context_id", {"type": "string", "format": "uuid"})],
        examples=[examples.TRACE],
        responses={200: TraceSerializer, 403: ErrorSerializer, 404: ErrorSerializer},
    )
    def get(self, request: Request, context_id: uuid.UUID) -> Response:
        body, caller = TraceBody.objects.select_related("trace").filter(pk=context_id).first(), caller_of(request)
        bot = caller.key.bot if caller.key else ""
        if body is None or (bot and not Trace.objects.filter(_is_of_bot(bot), pk=context_id).exists()):
            raise NotFound(f"There is no trace {context_id}.")
        evidence = json.loads(body.text)
        searches = evidence.get("searches", [])
        if body.trace.user_id:
            caller.check_user(body.trace.user_id)
        caller.check_indexes({search["index"] for search in searches})
        return Response(TraceSerializer(_summary(body, evidence, searches)).data)


def _summary(body: TraceBody, evidence: dict[str, Any], searches: list[dict[str, Any]]) -> dict[str, Any]:
    trace, outcome = body.trace, body.trace.outcome or {}
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
        "usage": outcome.get("usage"),
        "attempts": outcome.get("attempts", []),
        "flags": trace.flags,
        "searches": [_search_of(search) for search in searches],
        "items": [
            item | {"title": titles.get(item["source_id"], ""), "dropped_as": _dropped_as(item)}
            for item in evidence.get("items", [])
        ],
    }


def _dropped_as(item: dict[str, Any]) -> str | None:
    if item["kept"]:
        return None
    return "too_large" if item["reason"].startswith(NEVER_FITS) else "over_budget"


def _search_of(search: dict[str, Any]) -> dict[str, Any]:
    """Return what was searched for; a question of weight 0 is about another subject, and was left out."""
    asked = search.get("options", {}).get("history", [])
    return {
        "index": search["index"], "query": search["query"], "found": len(search["hits"]),
        "history": [earlier["question"] for earlier in asked if earlier["weight"] and not earlier.get("rewritten")],
        "rewritten": next((earlier["question"] for earlier in asked if earlier.get("rewritten")), None),
    }  # fmt: skip
