"""Endpoints of events: list them, write one or a batch, and read one with its outcome."""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework.request import Request
from rest_framework.response import Response

from chat.access.callers import Caller
from chat.api import event_shapes as shapes
from chat.api import examples, openapi
from chat.api.auth import caller_of
from chat.api.base import APIView, ListAPIView, extend_schema
from chat.api.errors import validation_sentence
from chat.api.pagination import KeysetPagination
from chat.api.parameters import choice, within
from chat.api.serializers import ErrorSerializer
from chat.errors import KeyForbidden
from chat.idempotency.records import RequestClaim
from chat.idempotency.views import idempotent_now
from chat.models import ApiKey
from common.errors import FabraError, InvalidInput, NotFound
from common.validation import check_text
from events.acceptance import accepted
from events.errors import BatchRefused, BatchTooLarge
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event, record_events


def _either(name: str, single: Any, batch: Any) -> PolymorphicProxySerializer:
    return PolymorphicProxySerializer(component_name=name, serializers=[single, batch], resource_type_field_name=None)


class NewestEvents(KeysetPagination):
    def get_ordering(self, request: Any, queryset: Any, view: Any) -> tuple[str, ...]:
        """Return the order of arrival; within a range of time by that, since its index then gives the rows."""
        is_range = not {"since", "until"}.isdisjoint(request.query_params)
        return ("-received_at", "-id") if is_range else ("-id",)


class EventsView(ListAPIView):
    """List events, the newest first; POST writes one, or `{"events": [...]}` of them, to the outbox.

    They are processed behind the answer. A batch is stored whole or not at all; its error names each event that is
    wrong by its position.
    """

    permissions = {"GET": "events.view_event", "POST": "events.add_event"}
    serializer_class = shapes.EventRowSerializer
    pagination_class = NewestEvents

    def get_queryset(self) -> QuerySet[Event]:
        given = self.request.query_params
        found = _readable(caller_of(self.request)).defer("payload", "error")
        for name in ("event_type", "entity_id"):
            if name in given:
                found = found.filter(**{name: check_text(given[name], name)})
        for name, choices in (("state", Event.State.values), ("source", Event.Source.values)):
            if chosen := choice(self.request, name, choices):
                found = found.filter(**{name: chosen})
        return within(self.request, found, "received_at")

    @extend_schema(
        operation_id="list_events",
        parameters=[
            openapi.exactly("event_type", openapi.TEXT), openapi.exactly("entity_id", openapi.TEXT),
            openapi.one_of("state", Event.State.values), openapi.one_of("source", Event.Source.values),
            *openapi.RANGE, *openapi.PAGE,
        ],
        examples=[examples.EVENT_ROWS],
        description="What an event says, and what its handlers did, is at its own address. Each list is an entry of "
        "the audit log.",
    )  # fmt: skip
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        parameters=[openapi.IDEMPOTENCY_KEY],
        examples=[*examples.EVENTS, examples.EVENT],
        request=_either("EventOrBatch", shapes.EventRequestSerializer, shapes.EventBatchSchema),
        responses={
            200: _either("EventOrReceipts", shapes.EventSerializer, shapes.EventBatchReceiptSerializer),
            202: _either("EventOrReceipts", shapes.EventSerializer, shapes.EventBatchReceiptSerializer),
            **dict.fromkeys(
                (400, 409, 413, 422), _either("EventOrBatchError", ErrorSerializer, shapes.BatchErrorSerializer)
            ),
        },
    )
    @idempotent_now(is_atomic=True, echoed=["payload"])
    def post(self, request: Request, claim: RequestClaim | None = None) -> Response:
        if "events" in request.data:
            return self._post_batch(request)
        event = _event_of(request.data, caller_of(request))
        row, is_new = record_event(event, Event.Source.API, sender=_sender(request))
        return Response(shapes.EventSerializer(row).data, status=202 if is_new else 200)

    def _post_batch(self, request: Request) -> Response:
        data = shapes.EventBatchSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        found = _record_all(data.validated_data["events"], _sender(request), caller_of(request))
        receipts = [{"id": row.event_id, "state": row.state, "is_new": is_new} for row, is_new in found]
        is_any_new = any(is_new for _, is_new in found)
        body = shapes.EventBatchReceiptSerializer({"events": receipts}).data
        return Response(body, status=202 if is_any_new else 200)


class EventView(APIView):
    """One event with its state and what its handlers did."""

    permissions = {"GET": "events.view_event"}

    @extend_schema(
        parameters=[openapi.in_path("event_id", openapi.TEXT)],
        examples=[examples.EVENT],
        responses={200: shapes.EventSerializer, 404: ErrorSerializer},
    )
    def get(self, request: Request, event_id: str) -> Response:
        row = Event.objects.prefetch_related("outcomes").filter(event_id=check_text(event_id, "id")).first()
        if row is None:
            raise NotFound(f"There is no event {event_id!r}.")
        caller_of(request).check_event(row.event_type, row.entity_id, row.payload)
        return Response(shapes.EventSerializer(row).data)


def _readable(caller: Caller) -> QuerySet[Event]:
    """Return the events that the caller may read, as `Caller.check_event` has it for one."""
    found = Event.objects.all()
    if caller.key and caller.key.users:
        found = found.exclude(Q(state_key="") & ~Q(entity_id__in=caller.key.users))
    if caller.indexes:
        # An event of a document that names no index is of the default one.
        named = Q(payload__index__in=caller.indexes)
        if settings.FABRA_DEFAULT_INDEX in caller.indexes:
            named |= ~Q(payload__has_key="index")
        found = found.filter(Q(state_key="") | named)
    return found


def _event_of(item: Any, caller: Caller) -> AxiomEvent:
    """Return the event of a JSON object; raise InvalidInput, IndexForbidden or UserForbidden."""
    data = shapes.EventRequestSerializer(data=item)
    if not data.is_valid():
        raise InvalidInput(validation_sentence(data.errors))
    event = AxiomEvent(**data.validated_data)
    caller.check_event(event.event_type, event.entity_id, event.payload)
    return accepted(event)


def _record_all(items: list[Any], sender: str, caller: Caller) -> list[tuple[Event, bool]]:
    """Write all of the events; raise BatchTooLarge, or BatchRefused with every event that cannot be stored."""
    if len(items) > settings.FABRA_EVENT_BATCH:
        raise BatchTooLarge(f"A batch has at most {settings.FABRA_EVENT_BATCH} events; this one has {len(items)}.")
    wrong: dict[int, FabraError] = {}
    events: dict[int, AxiomEvent] = {}
    for position, item in enumerate(items):
        try:
            events[position] = _event_of(item, caller)
        except (InvalidInput, KeyForbidden) as error:
            wrong[position] = error
    with transaction.atomic():
        results = record_events(list(events.values()), Event.Source.API, sender=sender)
        pairs = zip(events, results, strict=True)
        wrong |= {position: result for position, result in pairs if isinstance(result, FabraError)}
        if wrong:
            raise BatchRefused(sorted(wrong.items()))
    return [result for result in results if not isinstance(result, FabraError)]


def _sender(request: Request) -> str:
    return request.auth.name if isinstance(request.auth, ApiKey) else ""
