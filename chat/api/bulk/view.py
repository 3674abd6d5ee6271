"""`POST /api/documents/bulk/`: lines of JSON in, a line of JSON out for each."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request

from chat.access.permissions import holds, is_open
from chat.api import openapi
from chat.api import serializers as shapes
from chat.api.base import AsyncAPIView, extend_schema
from chat.api.bulk.lines import Writer
from chat.api.bulk.stream import answers_to, slots
from chat.api.chat import AnyAccept
from chat.api.documents import DocumentView, author_of, describe_delete, describe_get
from chat.api.parameters import index_name, yes_or_no
from chat.audit.entries import caller_columns
from chat.errors import IdempotencyKeyUnsupported
from chat.idempotency.request_key import HEADER
from chat.models import ApiKey
from common.streamed_body import KEY

_DELETE = "retrieval.delete_document"
_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_WAIT = OpenApiParameter(
    "wait",
    str,
    enum=["true", "false", "1", "0"],
    description="`true` (default): a line is answered when a search finds its document. `false`: when its event is in "
    "the outbox, from which the workers apply it.",
)
_LINES = '{"entity_id": "pay", "text": "# Pay\\n\\nBy card or invoice."}\n{"action": "delete", "entity_id": "old"}\n'
_ANSWERS = (
    '{"line": 1, "entity_id": "pay", "status": "indexed", "version": 1, "chunk_count": 1}\n'
    '{"line": 2, "entity_id": "old", "status": "deleted"}\n'
)


class BulkView(AsyncAPIView):
    """Write and delete many documents of an index in one request.

    Each line is `{"entity_id", "text", "title", "metadata", "audience"}`, or `{"action": "delete", "entity_id"}`, and
    has an answer, in their order, while later lines are still being sent. A line that is wrong fails alone. A last
    answer with the line `null` says why the rest was not applied.
    """

    permissions = {
        "POST": "retrieval.change_document", "GET": "retrieval.view_document", "DELETE": _DELETE,
    }  # fmt: skip
    content_negotiation_class = AnyAccept

    @extend_schema(
        operation_id="documents_bulk",
        parameters=[openapi.INDEX, _WAIT],
        request={_TYPES[0]: {"type": "string", "format": "binary"}},
        responses={
            (200, _TYPES[0]): {"type": "string", "format": "binary"},
            **dict.fromkeys((400, 413, 415, 503), shapes.ErrorSerializer),
        },
        examples=[
            OpenApiExample("Lines", value=_LINES, media_type=_TYPES[0], request_only=True),
            OpenApiExample("Answers", value=_ANSWERS, media_type=_TYPES[0], response_only=True),
        ],
    )
    async def post(self, request: Request) -> StreamingHttpResponse:
        if HEADER in request.headers:
            raise IdempotencyKeyUnsupported
        if (request.content_type or "").split(";")[0].strip().lower() not in _TYPES:
            raise UnsupportedMediaType(request.content_type or "", f"Send lines of JSON, as {_TYPES[0]}.")
        slots.check()
        may_delete, caller = await sync_to_async(_rights_of)(request)
        writer = Writer(
            index_name=index_name(request), author=author_of(request), waits=yes_or_no(request, "wait", default=True),
            may_delete=may_delete, caller=caller,
        )  # fmt: skip
        answers = answers_to(_body_of(request), writer)
        return StreamingHttpResponse(answers, content_type=_TYPES[0], headers={"X-Accel-Buffering": "no"})

    @describe_get()
    async def get(self, request: Request) -> HttpResponseBase:
        """Return the document whose id is `bulk`."""
        return await _of_document(request)

    @describe_delete()
    async def delete(self, request: Request) -> HttpResponseBase:
        """Delete the document whose id is `bulk`."""
        return await _of_document(request)


async def _of_document(request: Request) -> HttpResponseBase:
    view: Any = DocumentView.as_view()
    response: HttpResponseBase = await sync_to_async(view)(request._request, entity_id="bulk")
    return response


def _rights_of(request: Request) -> tuple[bool, dict[str, Any] | None]:
    """Return whether lines may delete, and the columns of the audit entries of what they delete."""
    key = request.auth if isinstance(request.auth, ApiKey) else None
    return _may_delete(request), caller_columns(request.META, None if key else request.user, key)


def _may_delete(request: Request) -> bool:
    key = request.auth
    if isinstance(key, ApiKey):
        return key.owner is None or holds(key.owner, _DELETE)
    return holds(request.user, _DELETE) or is_open(request.META)


def _body_of(request: Request) -> AsyncIterable[bytes]:
    """Return the body as it comes; behind another server than ours, as Django has read it."""
    streamed = getattr(request, "scope", {}).get(KEY)
    return streamed if streamed is not None else _whole(request)


async def _whole(request: Request) -> AsyncIterator[bytes]:
    while piece := request.read(65536):
        yield piece
