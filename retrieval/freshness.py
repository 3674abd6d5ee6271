"""Find hits that are behind their source: a newer state of the document is known and not yet searchable."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import BooleanField, ExpressionWrapper, F, Q

from events.models import Event
from events.ordering import state_key
from retrieval.models import Document
from retrieval.search.hits import Hit

_IS_SERVED_AS_SAVED = ExpressionWrapper(
    Q(text=F("version__text"), metadata=F("version__metadata")), output_field=BooleanField()
)
_STATE_COLUMNS = ("index__name", "entity_id", "occurred_at")
_EVENT = "doc_updated"
"""Any event type of the family gives the same state key."""


@dataclass(frozen=True, kw_only=True)
class Behind:
    """A document of which a newer state is known than the one that was found."""

    index: str
    document_id: str
    since: datetime
    """The time of the newer state, by its source's clock."""
    reason: str


def documents_behind(hits: Sequence[Hit]) -> list[Behind]:
    """Return the documents of these hits that have a newer state than the one that was found, oldest first.

    A document is behind if its edit waits to be indexed or could not be, if its `doc_*` event is unprocessed or dead,
    or if it was replaced or deleted since it was found. An old document without a newer state is not behind.
    """
    found = {(hit.index, hit.document_id): hit.version_id for hit in hits}
    if not found:
        return []
    oldest: dict[tuple[str, str], Behind] = {}
    for index, document_id, since, reason in [*_changed(found), *_waiting(found)]:
        known = oldest.get((index, document_id))
        if known is None or since < known.since:
            oldest[index, document_id] = Behind(index=index, document_id=document_id, since=since, reason=reason)
    return sorted(oldest.values(), key=lambda change: change.since)


_Found = dict[tuple[str, str], int]


def _changed(found: _Found) -> list[tuple[str, str, datetime, str]]:
    """Return the documents whose row differs from the version that was found."""
    rows = (
        Document.objects.filter(index__name__in={index for index, _ in found}, entity_id__in={key for _, key in found})
        .annotate(index_name=F("index__name"))
        .values(
            "index_name", "entity_id", "version_id", "state", "indexed_at", "deleted_at", "updated_at",
            is_served=_IS_SERVED_AS_SAVED,
        )
    )  # fmt: skip
    changed = []
    for row in rows:
        key = row["index_name"], row["entity_id"]
        if key not in found:
            continue
        if row["deleted_at"]:
            changed.append((*key, row["deleted_at"], "deleted since it was searched"))
        elif row["version_id"] != found[key] and row["indexed_at"]:
            changed.append((*key, row["indexed_at"], "replaced since it was searched"))
        elif row["state"] in (Document.State.PENDING, Document.State.FAILED) and not row["is_served"]:
            failed = row["state"] == Document.State.FAILED
            changed.append((*key, row["updated_at"], "its edit failed" if failed else "its edit waits"))
    return changed


def _waiting(found: _Found) -> list[tuple[str, str, datetime, str]]:
    """Return the documents with an event that is newer than their state and not yet applied."""
    by_key = {state_key(_EVENT, document_id, {"index": index}): (index, document_id) for index, document_id in found}
    events = list(
        Event.objects.all()
        .unapplied()
        .filter(state_key__in=by_key)
        .exclude(state_key="")  # so that the planner uses the partial index
        .values_list("state_key", "occurred_at", "state")
    )
    if not events:
        return []
    documents = Document.objects.filter(entity_id__in={document_id for _, document_id in found})
    states = {(index, key): moment for index, key, moment in documents.values_list(*_STATE_COLUMNS)}
    return [
        (*document, occurred_at, "its event is dead" if state == Event.State.DEAD else "its event waits")
        for key, occurred_at, state in events
        if (known := states.get(document := by_key[key])) is None or occurred_at > known
    ]
