"""Read a source in pages, and find where its documents differ from what it says."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, connections
from django.db.models import Exists, OuterRef
from django.db.models.functions import Substr

from common.clocks import was_within
from common.errors import FabraError, InvalidInput
from common.text import storable
from retrieval.errors import ObjectUnreadable
from retrieval.indexing.bulk import Draft
from retrieval.indexing.document_input import DocumentOrigin
from retrieval.model_sources.batches import SIZES, BatchSizes
from retrieval.model_sources.declaration import ModelSourceSpec
from retrieval.model_sources.reading import Reading, database_now, read_all
from retrieval.models import Document, ModelSource, SourcedObject

_MANY = 20
"""The fewest objects whose number the queries are compared with."""
_RETRY_AFTER = timedelta(hours=1)
"""What could not be indexed as it is is tried again after this."""


_STATE = ("entity_id", "version__content_hash", "deleted_at", "purged_at")


class _Count:
    """Counts the statements of a connection."""

    def __init__(self) -> None:
        self.queries = 0

    def __call__(self, execute: Callable[..., Any], *args: Any) -> Any:
        self.queries += 1
        return execute(*args)


@dataclass(frozen=True, kw_only=True)
class SourcePage:
    """Objects that follow each other by their keys, as their source has them at a moment."""

    readings: Sequence[Reading]
    moment: datetime
    """Before they were read."""
    queries: int
    """How many statements reading them took."""

    @property
    def warning(self) -> str:
        """What to do where the objects are read one by one; "" where they are not, or are few."""
        if len(self.readings) < _MANY or self.queries <= len(self.readings):
            return ""
        return (
            f"{self.queries:,} queries for {len(self.readings):,} objects: its methods read each object's relations by "
            "themselves. Have queryset() name them in prefetch_related, and read them by .all()."
        )


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Where a page differs from the documents; by the keys of its objects."""

    drafts: dict[str, Draft] = field(default_factory=dict)
    """Objects whose document is missing or different."""
    errors: dict[str, str] = field(default_factory=dict)
    """Objects that cannot be read, and why."""
    waiting: dict[str, str] = field(default_factory=dict)
    """Objects that could not be indexed as they are, and are tried again later."""
    empty: set[str] = field(default_factory=set)
    """Objects that say nothing (any more), and have a document."""


def read_pages(source: ModelSourceSpec, after: str = "", sizes: BatchSizes = SIZES) -> Iterator[SourcePage]:
    """Yield the source's objects in the order of their keys, beginning behind `after`."""
    size = sizes.first_page
    while True:
        moment = database_now()
        rows = source.queryset().order_by("pk")
        objects = list((rows.filter(pk__gt=source.key(after)) if after else rows)[:size])
        if not objects:
            return
        count = _Count()
        with connections[rows.db].execute_wrapper(count):
            readings = list(read_all(source, objects))
        yield SourcePage(readings=readings, moment=moment, queries=count.queries)
        if len(objects) < size:
            return
        after = str(objects[-1].pk)
        mean_chars = sum(len(reading.text) for reading in readings) // len(readings) + 1
        size = min(sizes.page, max(sizes.first_page, sizes.page_chars // mean_chars))


def compare(source: ModelSourceSpec, row: ModelSource, page: SourcePage) -> Differences:
    """Return where the page differs from its documents, in two queries."""
    by_entity_id = {reading.entity_id: reading for reading in page.readings}
    documents = Document.objects.filter(index__name=source.index, entity_id__in=by_entity_id)
    served, purged = dict[str, str | None](), set[str]()
    for entity_id, content_hash, deleted_at, purged_at in documents.values_list(*_STATE):
        if deleted_at is None:
            served[entity_id] = content_hash
        elif purged_at is not None:
            purged.add(entity_id)
    sourced = SourcedObject.objects.filter(source=row, object_pk__in=[reading.pk for reading in page.readings])
    known = {source_row.object_pk: source_row for source_row in sourced}
    found = Differences()
    origin = DocumentOrigin(source=f"sync_models {source.label}", occurred_at=page.moment)
    for entity_id, reading in by_entity_id.items():
        before = known.get(reading.pk)
        if reading.error:
            found.errors[reading.pk] = reading.error
        elif before and _is_settled(before, reading, served.get(entity_id), is_purged=entity_id in purged):
            if before.error:
                found.waiting[reading.pk] = before.error
        elif draft := _draft(reading, origin, found):
            found.drafts[reading.pk] = draft
        elif reading.pk not in found.errors and (before or entity_id in served):
            found.empty.add(reading.pk)
    return found


def _draft(reading: Reading, origin: DocumentOrigin, found: Differences) -> Draft | None:
    try:
        return reading.draft(origin) if reading.is_document else None
    except (ObjectUnreadable, InvalidInput) as error:
        found.errors[reading.pk] = str(error)
        return None


def _is_settled(before: SourcedObject, reading: Reading, served_hash: str | None, *, is_purged: bool) -> bool:
    """Return whether the document is what the object says, or could not be made of it a short time ago.

    A document that was purged stays away while its object says what it said then.
    """
    if before.digest != reading.digest:
        return False
    if is_purged:
        return True
    if before.error:
        return was_within(before.updated_at, _RETRY_AFTER)
    return bool(before.content_hash) and before.content_hash == served_hash


def failure_of(error: Exception) -> str:
    """Return what is told and stored of an error that a source's queryset has raised."""
    return storable(f"queryset(): it raised {type(error).__name__}: {error}"[:1000])


def differences(source: ModelSourceSpec, row: ModelSource) -> Iterator[str]:
    """Yield a line for each object that differs from its document; nothing is changed.

    Raise ObjectUnreadable if the source's queryset fails.
    """
    try:
        yield from _differences(source, row)
    except (FabraError, OperationalError):  # the second: the connection is lost
        raise
    except Exception as error:  # the queryset may raise anything
        raise ObjectUnreadable(f"{source.name}: {failure_of(error)}") from error


def _differences(source: ModelSourceSpec, row: ModelSource) -> Iterator[str]:
    for page in read_pages(source):
        found = compare(source, row, page)
        yield from (f"differs: {source.entity_id(key)}" for key in found.drafts)
        yield from (f"says nothing any more: {source.entity_id(key)}" for key in sorted(found.empty))
        failed = {**found.errors, **found.waiting}
        yield from (f"failed: {source.entity_id(key)}: {error}" for key, error in failed.items())
    for in_page in (gone_in_page, orphans_in_page):
        gone, last = in_page(source, row, 0, SIZES.page)
        while True:
            yield from (f"gone: {source.entity_id(key)}" for key in gone)
            if not last:
                break
            gone, last = in_page(source, row, last, SIZES.page)


def gone_in_page(source: ModelSourceSpec, row: ModelSource, after: int, size: int) -> tuple[list[str], int]:
    """Return the keys of the next `size` objects that are no longer in the queryset, and the last row; 0: the last."""
    rows = SourcedObject.objects.filter(source=row, pk__gt=after).order_by("pk")
    known = dict(rows.values_list("object_pk", "pk")[:size])
    return _absent(source, list(known)), max(known.values(), default=0) if len(known) == size else 0


def orphans_in_page(source: ModelSourceSpec, row: ModelSource, after: int, size: int) -> tuple[list[str], int]:
    """Return the same of the next `size` documents of which nothing is known but that they are of the source."""
    prefix = source.entity_id("")
    known = SourcedObject.objects.filter(source=row, object_pk=Substr(OuterRef("entity_id"), len(prefix) + 1))
    documents = Document.objects.live().filter(index__name=source.index, entity_id__startswith=prefix)
    rows = documents.filter(~Exists(known), pk__gt=after).order_by("pk")
    found = {entity_id.removeprefix(prefix): pk for entity_id, pk in rows.values_list("entity_id", "pk")[:size]}
    return _absent(source, list(found)), max(found.values(), default=0) if len(found) == size else 0


def _absent(source: ModelSourceSpec, keys: Sequence[str]) -> list[str]:
    """Return those of the keys that are not in the source's queryset."""
    wanted = {key: value for key in keys if (value := source.key(key)) is not None}
    present = set[str]()
    if wanted:
        found = source.queryset().filter(pk__in=wanted.values())
        present = {str(pk) for pk in found.values_list("pk", flat=True)}
    return [key for key in keys if key not in present]
