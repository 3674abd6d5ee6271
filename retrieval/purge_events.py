"""Purges by event: `doc_deleted` with `purge: true` erases, and what arrives late is erased as it is recorded."""

from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from common.clocks import latest_possible
from events.erasure import erased
from events.models import Event
from events.ordering import state_family, state_key
from retrieval.document_events import EVENT_TYPE, FAMILY, index_name_of
from retrieval.errors import DocumentNotFound, IndexNotFound
from retrieval.indexing.purge import purge_document
from retrieval.models import Document


def purge(event: Event) -> dict[str, Any]:
    """Erase what the event's document said until then; what Redis keeps is erased once it answers."""
    index_name = index_name_of(event.payload)
    try:
        left = purge_document(index_name, event.entity_id, occurred_at=event.occurred_at)
    except (DocumentNotFound, IndexNotFound):
        return {"purged": 0}
    return {"purged": 1, "left": left}


def erase_late(rows: Sequence[Event], **kwargs: Any) -> None:
    """Erase events about states that were purged already, in the transaction that records them, and end them."""
    keys = {row.state_key for row in rows if state_family(row.event_type) == FAMILY and row.state_key}
    if not keys:
        return
    ids = {row.entity_id for row in rows if row.state_key in keys}
    documents = Document.objects.purged().filter(entity_id__in=ids)
    purged = list(documents.values_list("index__name", "entity_id", "purged_at"))
    if any(moment and moment > latest_possible() for *_, moment in purged):
        documents.correct_purges()
        purged = list(documents.values_list("index__name", "entity_id", "purged_at"))
    moments = {state_key(EVENT_TYPE, entity_id, {"index": index}): moment for index, entity_id, moment in purged}
    for row in rows:
        moment = moments.get(row.state_key)
        if moment is None or row.occurred_at > moment:
            continue
        row.payload, row.state, row.finished_at = erased(row), Event.State.SUPERSEDED, timezone.now()
        if row.pk:
            row.save(update_fields=["payload", "state", "finished_at"])


def was_purged_after(index_name: str, event: Event) -> bool:
    documents = Document.objects.purged().filter(index__name=index_name, entity_id=event.entity_id)
    return documents.filter(purged_at__gte=event.occurred_at).exists()
