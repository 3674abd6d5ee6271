"""A line of a bulk request, as an operation on a document, and its answer."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.renderers import JSONRenderer

from chat.api.bulk.exchange import Line
from chat.api.errors import validation_sentence
from chat.api.parsers import RequestTooLarge, parse_object
from chat.api.serializers import BulkLineSerializer
from chat.error_descriptions import describe
from common.errors import InvalidInput
from common.validation import check_key
from events.models import Event
from retrieval.indexing.bulk import Draft
from retrieval.indexing.document_input import DocumentOrigin, IndexResult
from retrieval.indexing.operations import Delete, Deletion, Operation, Write

LineResult = IndexResult | Deletion | Event | Exception


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Who sends the lines, and into which index."""

    index_name: str
    author: str
    may_delete: bool
    caller: dict[str, Any] | None = None
    """The audit entry's columns of who sends them; None where nothing is recorded."""
    waits: bool
    """Whether a line is answered when it is applied, rather than when it is accepted."""


async def lines_of(pieces: AsyncIterable[bytes]) -> AsyncIterator[list[Line]]:
    """Yield the lines that end in each piece of the body, without blank ones; the last may lack its end.

    A line longer than a request may be has no text: it is counted, and not kept.
    """
    number, held, is_too_long = 1, bytearray(), False
    async for piece in pieces:
        *ended, rest = piece.split(b"\n")
        found: list[Line] = []
        for part in ended:
            held += part
            if is_too_long or len(held) > settings.FABRA_MAX_REQUEST_BYTES:
                found.append((number, None))
            elif held.strip():
                found.append((number, bytes(held)))
            number, held, is_too_long = number + 1, bytearray(), False
        held += rest
        if len(held) > settings.FABRA_MAX_REQUEST_BYTES:
            held, is_too_long = bytearray(), True
        if found:
            yield found
    if is_too_long or held.strip():
        yield [(number, None if is_too_long else bytes(held))]


def operation_of(line: Line, writer: Writer) -> Operation:
    """Return what the line asks for; raise InvalidInput or an APIException."""
    number, text = line
    if text is None:
        raise RequestTooLarge(f"A line has at most {settings.FABRA_MAX_REQUEST_BYTES:,} bytes.")
    data = BulkLineSerializer(data=parse_object(text, "line"))
    if not data.is_valid():
        raise InvalidInput(validation_sentence(data.errors))
    values = data.validated_data
    if values["action"] == "delete":
        if not writer.may_delete:
            raise PermissionDenied("This needs the permission retrieval.delete_document.", code="permission_denied")
        return Delete(number=number, entity_id=check_key(values["entity_id"], "entity_id"))
    if "text" not in values:
        raise InvalidInput("text: This field is required.")
    draft = Draft(
        entity_id=values["entity_id"], text=values["text"], title=values["title"], metadata=values["metadata"],
        audience=values["audience"], origin=DocumentOrigin(source="api", author=writer.author),
    )  # fmt: skip
    draft.check(writer.index_name)
    return Write(number=number, draft=draft)


def answer_of(number: int | None, entity_id: str | None, result: LineResult) -> bytes:
    """Return the line that answers a line; without a number it is about the rest of the request."""
    body: dict[str, Any] = {"line": number, "entity_id": entity_id}
    if isinstance(result, Exception):
        body |= {"status": "failed", "error": _error_of(result)}
    elif isinstance(result, Deletion):
        body |= {"status": "deleted" if result.was_there else "not_found"}
    elif isinstance(result, Event):
        body |= {"status": "accepted", "event_id": result.event_id}
    else:
        status = "indexed" if result.is_changed else "unchanged"
        body |= {"status": status, "version": result.version, "chunk_count": result.chunk_count}
    return JSONRenderer().render(body) + b"\n"


def _error_of(error: Exception) -> dict[str, str]:
    if isinstance(error, APIException):
        codes = error.get_codes()
        return {"code": codes if isinstance(codes, str) else error.default_code, "message": str(error.detail)}
    _, code, message = describe(error)
    return {"code": code, "message": message}
