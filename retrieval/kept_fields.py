"""The audience and the metadata of a document, which a `doc_updated` may leave as they are.

What the newest event leaves out is what the newest older change sets, whenever that one comes in. So a document knows
when each of them was set, and a late change still sets what no later one has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q

from common.errors import InvalidInput
from events.models import Event
from retrieval.document_events import DELETED, EVENT_TYPE
from retrieval.indexing.document_input import DocumentContent, DocumentOrigin, title_for
from retrieval.indexing.documents import index_content
from retrieval.models import Document
from retrieval.search.filters import check_audience

FIELDS = ("audience", "metadata")
"""The audience first: a late change takes effect in this order."""
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of what no change has set: anything that comes in is later."""


@dataclass(frozen=True, kw_only=True)
class TimedValue:
    """A field's value, and the time of the change that sets it: of two values the later one counts."""

    value: Any
    at: datetime


def kept_fields(index_name: str, event: Event) -> dict[str, TimedValue]:
    """Return the audience and metadata that the document has before the event, for an event that leaves them out.

    They are those of the served version, updated by earlier changes that wait or failed: a change that restricts the
    audience applies to the next one even if its own text could not be indexed. A change that was refused for good is
    ignored, unless its audience is invalid: then the audience is unknown. Raise InvalidInput for an unknown audience.
    """
    row = Document.objects.select_related("index", "version").filter(index__name=index_name, entity_id=event.entity_id)
    kept = _served_fields(row.first(), event)
    for earlier in (
        Event.objects.before(event).unapplied().filter(occurred_at__gte=min(field.at for field in kept.values()))
    ):
        for name, value in _fields_set_by(earlier).items():
            if earlier.occurred_at >= kept[name].at and not _is_set_again(earlier, name):
                kept[name] = TimedValue(value=value, at=earlier.occurred_at)
    if "audience" not in event.payload and not _is_audience(kept["audience"].value):
        raise InvalidInput("Its audience is not known: that of an earlier change was refused. Say it in this one.")
    return kept


def apply_late_fields(
    index_name: str, entity_id: str, fields: Mapping[str, TimedValue], *, source: str, author: str = ""
) -> list[str]:
    """Give a document the fields that an earlier change than its state sets, and no later one; return their names.

    The text stays, and is neither split anew nor embedded for a new audience: it takes effect without the embedder.
    """
    return [
        name
        for name in FIELDS
        if name in fields and _apply_late(index_name, entity_id, name, fields[name], source, author)
    ]


def late_fields(event: Event, values: Mapping[str, Any]) -> dict[str, TimedValue]:
    """Return what a superseded event sets, but for what another event of the same time, which came later, sets."""
    return {
        name: TimedValue(value=value, at=event.occurred_at)
        for name, value in values.items()
        if not _is_set_again(event, name)
    }


def served_audience(index_name: str, entity_id: str) -> TimedValue:
    """Return the audience that a document is served to, and since when; that of a new one is everyone."""
    row = Document.objects.live().select_related("version").filter(index__name=index_name, entity_id=entity_id).first()
    return TimedValue(
        value=row.version.audience if row and row.version else [], at=set_at(row, "audience") if row else _NEVER
    )


def empty_fields() -> dict[str, Any]:
    """Return the fields of a document for which nothing sets them, as after its deletion."""
    return {"audience": [], "metadata": {}}


def _apply_late(index_name: str, entity_id: str, name: str, late: TimedValue, source: str, author: str) -> bool:
    documents = Document.objects.live().select_related("index", "version")
    row = documents.filter(index__name=index_name, entity_id=entity_id).first()
    if row is None or row.version is None:
        return False
    row.correct_time()
    times = {field: set_at(row, field) for field in FIELDS}
    if row.occurred_at is None or late.at < times[name]:
        return False
    content = DocumentContent.of_version(row, row.version)
    if name == "audience":
        content = replace(content, audience=late.value)
    else:
        content = replace(content, metadata=late.value, title=_title_with(content, late.value))
    origin = DocumentOrigin(
        source=source, author=author, occurred_at=row.occurred_at, after_event=row.after_event,
        set_at=times | {name: late.at},
    )  # fmt: skip
    return not index_content(index_name, content, origin).is_superseded


def _title_with(content: DocumentContent, metadata: dict[str, Any]) -> str:
    """Return the title with other metadata; one that was not made from metadata or text stays."""
    is_made = content.title == title_for(content.entity_id, content.text, content.metadata)
    return title_for(content.entity_id, content.text, metadata) if is_made else content.title


def set_at(row: Document, name: str) -> datetime:
    """Return when a document's audience or metadata were set."""
    at: datetime | None = getattr(row, f"{name}_at") if row.version_id is not None else None
    return at or row.occurred_at or _NEVER


def _served_fields(row: Document | None, event: Event) -> dict[str, TimedValue]:
    if row is not None:
        row.correct_time()
    if row is not None and row.version is not None and row.deleted_at is None:
        return {name: TimedValue(value=getattr(row.version, name), at=set_at(row, name)) for name in FIELDS}
    # Nothing of what was before the last state that was applied counts, such as a deletion of what never was there.
    applied = Event.objects.before(event).filter(applied_at__isnull=False).last()
    moments = [applied.occurred_at if applied else _NEVER, (row.occurred_at if row else None) or _NEVER]
    return {name: TimedValue(value=value, at=max(moments)) for name, value in empty_fields().items()}


def _fields_set_by(event: Event) -> dict[str, Any]:
    """Return the fields that an event sets; those of one that was refused for good do not count."""
    if event.event_type == DELETED:
        return empty_fields()
    if event.event_type != EVENT_TYPE:
        return {}
    fields = {name: event.payload[name] for name in FIELDS if name in event.payload}
    if event.outcomes.filter(is_permanent=True).exists():
        is_invalid = "audience" in fields and not _is_audience(fields["audience"])
        return {"audience": fields["audience"]} if is_invalid else {}
    return fields


def _is_set_again(event: Event, name: str) -> bool:
    """Return whether an event of the same time that came in later, and took effect, sets the field."""
    later = Event.objects.filter(state_key=event.state_key, occurred_at=event.occurred_at, pk__gt=event.pk)
    took_effect = Q(applied_at__isnull=False) | Q(state=Event.State.SUPERSEDED)
    return later.filter(took_effect, Q(event_type=DELETED) | Q(event_type=EVENT_TYPE, payload__has_key=name)).exists()


def _is_audience(value: Any) -> bool:
    try:
        return isinstance(check_audience(value), list)
    except InvalidInput:
        return False
