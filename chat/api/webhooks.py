"""The endpoint of webhooks from other systems, such as a CMS: signed, not authenticated."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from chat.api import event_shapes as shapes
from chat.api import examples, openapi
from chat.api.base import APIView, extend_schema
from chat.api.serializers import ErrorSerializer
from events.acceptance import accepted
from events.models import Event, WebhookSource
from events.outbox import record_event
from events.webhooks import SIGNATURE, TIMESTAMP, check_timestamp, event_of_message, verify


class WebhookView(APIView):
    """Take a signed message as an event: at once, or not at all if the mapping has no event type for it."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        parameters=[
            openapi.in_path("source"),
            OpenApiParameter(
                TIMESTAMP, {"type": "integer", "minimum": 0}, OpenApiParameter.HEADER, required=True,
                description="Seconds since 1970, when signed.",
                examples=[OpenApiExample("a time", value=1769936400)],
            ),
            OpenApiParameter(
                SIGNATURE, str, OpenApiParameter.HEADER, required=True,
                description="`sha256=` and the HMAC-SHA256, in hex, of the timestamp, a dot and the body.",
                examples=[OpenApiExample("a signature", value=f"sha256={'0' * 64}")],
            ),
        ],
        examples=examples.WEBHOOK,
        request=shapes.EventRequestSerializer,
        responses={
            200: shapes.ReceiptSerializer, 202: shapes.ReceiptSerializer, 204: None,
            400: ErrorSerializer, 401: ErrorSerializer,
            409: ErrorSerializer, 413: ErrorSerializer,
        },
    )  # fmt: skip
    def post(self, request: Request, source: str) -> Response:
        timestamp = request.headers.get(TIMESTAMP, "")
        check_timestamp(timestamp)
        body, named = _body(request), WebhookSource.objects.usable().named(source)
        sender = verify(named, timestamp, request.headers.get(SIGNATURE, ""), body)
        event = event_of_message(sender, timestamp, body)
        if event is None:
            return Response(status=204)
        row, is_new = record_event(accepted(event), Event.Source.WEBHOOK, sender=sender.name)
        receipt = {"id": row.event_id, "state": row.state, "is_new": is_new}
        return Response(shapes.ReceiptSerializer(receipt).data, status=202 if is_new else 200)


def _body(request: Request) -> Any:
    """Return the body's bytes, which were signed; raise RequestDataTooBig above the limit."""
    return request.body
