"""Accept lines as events of the outbox, which the workers apply."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db import transaction

from common.errors import FabraError, InvalidInput
from events.acceptance import accepted
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_events
from retrieval.document_events import DELETED, EVENT_TYPE
from retrieval.indexing.operations import Delete, Operation
from retrieval.indexing.preconditions import times_of_writes

_AT_ONCE = 200


def accept_in_bulk(
    index_name: str, operations: Iterable[Operation | None], *, sender: str
) -> Iterator[tuple[int, Event | FabraError]]:
    """Write an event for each operation, some at a time; yield the number of each with its event, or its error.

    None says that the next operation is not there yet.
    """
    held: list[Operation] = []
    for operation in operations:
        if operation is not None:
            held.append(operation)
        if held and (operation is None or len(held) >= _AT_ONCE):
            yield from _record(index_name, held, sender)
            held = []
    yield from _record(index_name, held, sender)


def _record(index_name: str, operations: list[Operation], sender: str) -> Iterator[tuple[int, Event | FabraError]]:
    events: dict[int, AxiomEvent] = {}
    moments = times_of_writes(index_name, [operation.entity_id for operation in operations])
    for operation in operations:
        try:
            events[operation.number] = accepted(_event_of(index_name, operation, moments[operation.entity_id]))
        except InvalidInput as error:
            yield operation.number, error
    with transaction.atomic():
        results = record_events(list(events.values()), Event.Source.API, sender=sender)
    for number, result in zip(events, results, strict=True):
        yield number, result if isinstance(result, FabraError) else result[0]


def _event_of(index_name: str, operation: Operation, moment: datetime) -> AxiomEvent:
    if isinstance(operation, Delete):
        payload: dict[str, Any] = {"index": index_name}
        return AxiomEvent(event_type=DELETED, entity_id=operation.entity_id, payload=payload, occurred_at=moment)
    draft = operation.draft
    payload = {
        "index": index_name, "content": draft.text, "metadata": draft.metadata, "audience": list(draft.audience),
        "title": draft.title,
    }  # fmt: skip
    return AxiomEvent(event_type=EVENT_TYPE, entity_id=draft.entity_id, payload=payload, occurred_at=moment)
