"""What a document must be like for a change to be made: nobody overwrites what they have not seen."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from events.arrival import times_after_arrivals
from events.models import Event
from events.ordering import state_key
from retrieval.errors import DocumentChanged
from retrieval.models import Document

_WAITING = (Event.State.RECEIVED, Event.State.RUNNING, Event.State.RETRYING)


@dataclass(frozen=True, kw_only=True)
class Precondition:
    """The document exists, or is absent; checked under the lock of its row, in the transaction that changes it.

    None is both, so a change that demands both is never made.
    """

    is_absent: bool = False
    """There must be no such document."""
    is_present: bool = False
    """There must be one."""
    versions: frozenset[int] | None = None
    """The numbers of which the served version must have one, 0 for a document that has none yet; None: any."""

    def check(self, index_name: str, entity_id: str, document: Document | None) -> None:
        """Raise DocumentChanged unless the live document, None if there is none, fulfils it.

        An event that was accepted and not applied yet is a change that the caller cannot have seen, too.
        """
        if document is None:
            if self.is_present:
                raise DocumentChanged(f"There is no document {entity_id!r} any more.")
            return
        if self.is_absent:
            raise DocumentChanged(f"There is a document {entity_id!r} already, in version {_number(document)}.")
        if self.versions is not None and _number(document) not in self.versions:
            raise DocumentChanged(f"The document {entity_id!r} has changed: it is in version {_number(document)}.")
        waiting = Event.objects.filter(state_key=document_state_key(index_name, entity_id))
        document.correct_time()
        if document.occurred_at is not None:
            waiting = waiting.filter(occurred_at__gt=document.occurred_at)
        if waiting.filter(state__in=_WAITING).exists():
            raise DocumentChanged(f"A change of the document {entity_id!r} waits to be applied; read it again then.")


def document_state_key(index_name: str, entity_id: str) -> str:
    """Return the key that all events about the document's state have; any type of the family gives it."""
    return state_key("doc_updated", entity_id, {"index": index_name})


def times_of_writes(index_name: str, entity_ids: Iterable[str]) -> dict[str, datetime]:
    """Return the times of changes that are made now and are no events, by the documents' ids.

    Each is later than all that arrived about its document before.
    """
    keys = {entity_id: document_state_key(index_name, entity_id) for entity_id in entity_ids}
    moments = times_after_arrivals(keys.values())
    return {entity_id: moments[key] for entity_id, key in keys.items()}


def _number(document: Document) -> int:
    return document.version.number if document.version else 0
