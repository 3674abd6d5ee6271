"""Purge documents: erase what they said from versions, chunks, events and caches, and keep only that they were there.

What is in PostgreSQL is erased in one transaction. The rest follows its commit, and the sweep goes on with it after a
crash or an outage, until nothing is left.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Count, F, QuerySet
from django.utils import timezone

from common.clocks import is_past
from common.definitions import add_once
from common.locks import held
from common.redis import REDIS_ERRORS, plain_redis
from common.validation import check_key
from events.arrival import correct_times, newest_event
from events.erasure import erase_events, events_about, saying_something
from retrieval.errors import DocumentNotFound, IndexNotFound
from retrieval.indexing.document_input import check_index_name
from retrieval.indexing.preconditions import Precondition, document_state_key, times_of_writes
from retrieval.indexing.purged_warnings import count_warnings, erase_warnings
from retrieval.models import Chunk, Document, DocumentVersion, Index, IngestionRun, SourceDocument
from retrieval.retrievers.cache import entries_of_purged, erase_entries
from retrieval.search.lexemes import merge_counts

logger = logging.getLogger(__name__)

WATCHED_FOR = timedelta(minutes=1)
"""After its end a purge looks for so long at what was being written while it ran."""
_AT_ONCE = 1000
_SILENT = {"title": "", "text": "", "metadata": {}, "audience": [], "error": ""}
"""The columns of a document that says nothing."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """A store of a higher app that copies passages of documents, and can erase those of some versions."""

    name: str
    erase: Callable[[Sequence[int]], object]
    count: Callable[[Sequence[int]], int]
    """Returns how many entries with passages of these versions there are."""


_stores: list[Store] = []


def register_store(store: Store) -> None:
    add_once(_stores, store)


def purge_document(
    index_name: str, entity_id: str, *, occurred_at: datetime | None = None, precondition: Precondition | None = None
) -> list[str]:
    """Erase what a document said, up to `occurred_at` (default: now), and delete it; return what is left to erase.

    It may be deleted or purged already. A later state than `occurred_at` stays as it is. An earlier change that arrives
    later is not applied, and its text is not kept. Raise IndexNotFound, DocumentNotFound, or DocumentChanged unless it
    fulfils the `precondition`.
    """
    index = Index.objects.filter(name=check_index_name(index_name)).first()
    if index is None:
        raise IndexNotFound(f"There is no index {index_name!r}.")
    correct_times(document_state_key(index.name, entity_id))
    moment = occurred_at or times_of_writes(index.name, [entity_id])[entity_id]
    with transaction.atomic():
        document = _locked(index, check_key(entity_id, "entity_id"), moment)
        if precondition is not None:
            precondition.check(index.name, entity_id, document if document.deleted_at is None else None)
        document.correct_time()
        is_later = document.occurred_at is not None and document.occurred_at > moment
        if is_later and document.version_id:
            erase_events(_key(document), entity_id, moment)
            _erase_history(document, moment)
        else:
            moment = max(moment, document.occurred_at or moment)
            erase_events(_key(document), entity_id, moment)
            _erase_row(document, moment)
    return continue_purge(document)


def continue_purge(document: Document) -> list[str]:
    """Erase again what may be left of a purged document; return what that is, such as of a Redis that is down."""
    document = Document.objects.select_related("index").purged().get(pk=document.pk)
    _erase_of_index(document.index)
    return _continue(document, list(_left_in_cache(document.index, document)))


def _continue(document: Document, left_in_cache: Sequence[str]) -> list[str]:
    if document.purge_ended_at is not None:  # something was found that should not be there
        _erase_texts(document)
    _erase_late(document)
    _erase_copies(document)
    erase_warnings(document)
    left = _left(document, left_in_cache)
    if not left:
        Document.objects.filter(pk=document.pk, purged_at=document.purged_at, purge_ended_at=None).update(
            purge_ended_at=timezone.now()
        )
    return left


def continue_purges(until: Callable[[], bool] = lambda: False) -> None:
    """Go on with the purges that have not ended, and erase what was being written while others ran.

    One worker at a time does, until `until()` is true. The caches of an index are searched once for all its purges;
    while Redis is down none can end, and none is tried.
    """
    Document.objects.all().correct_purges()
    with held("purges") as is_mine:
        if is_mine and _answers():
            _continue_all(until)


def _continue_all(until: Callable[[], bool]) -> None:
    # At random, so that those which cannot end yet hold up no others for ever.
    waiting = list(Document.objects.purged().filter(purge_ended_at=None).order_by("?")[:_AT_ONCE])
    # Read after the purges: the version is theirs, or later.
    indexes = Index.objects.in_bulk({document.index_id for document in waiting})
    left_in_cache: dict[int, list[str]] = {}
    for document in waiting:
        if until():
            return
        document.index = indexes[document.index_id]
        if document.index_id not in left_in_cache:
            _erase_of_index(document.index)
            left_in_cache[document.index_id] = list(_left_in_cache(document.index, document))
        _continue(document, left_in_cache[document.index_id])
    ended = Document.objects.purged().filter(purge_ended_at__isnull=False)
    ended = ended.exclude(is_past("purge_ended_at", since=WATCHED_FOR))
    for document in ended.select_related("index"):
        if until():
            return
        _erase_late(document)
        _erase_copies(document)


def _answers() -> bool:
    """Return whether Redis does."""
    try:
        plain_redis(settings.FABRA_REDIS_TIMEOUT_S).ping()
    except REDIS_ERRORS as error:
        logger.warning("Purges go on later: Redis does not answer (%s).", type(error).__name__)
        return False
    return True


def _erase_of_index(index: Index) -> None:
    """Erase what retrievers have cached of an index, and merge its counts of words."""
    try:
        erase_entries(index.pk, index.version)
    except REDIS_ERRORS as error:
        logger.warning("Purges of %s go on later: Redis does not answer (%s).", index.name, type(error).__name__)
    for generation_id in index.generations.values_list("pk", flat=True):
        merge_counts(generation_id)


def _erase_copies(document: Document) -> None:
    """Erase what the stores of higher apps hold of it."""
    versions = _erased_versions(document)
    try:
        for store in _stores:
            store.erase(versions)
    except REDIS_ERRORS as error:
        logger.warning("The purge of %s goes on later: Redis does not answer (%s).", document.pk, type(error).__name__)


def _erase_late(document: Document) -> None:
    """Erase the events that were not committed yet when the purge was."""
    if document.purged_at is not None:
        erase_events(_key(document), document.entity_id, document.purged_at)


def left_of(document: Document) -> Iterator[str]:
    """Yield where something of what a purged document said is left, in words."""
    yield from _left(document, _left_in_cache(document.index, document))


def _left(document: Document, left_in_cache: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*_left_in_rows(document), *left_in_cache, *_left_in_stores(document)]))


def _left_in_rows(document: Document) -> Iterator[str]:
    assert document.purged_at is not None
    row = Document.objects.filter(pk=document.pk).exclude(deleted_at=None)
    if row.exclude(**_SILENT).exists():
        yield "its row says something"
    versions = document.versions.filter(number__lte=document.purged_version)
    if count := versions.exclude(title="", text="", metadata={}).count():
        yield f"{count} of its versions say something"
    if count := Chunk.objects.filter(version__in=versions).count():
        yield f"{count} of its chunks are there"
    if count := saying_something(events_about(_key(document), document.entity_id, document.purged_at)).count():
        yield f"{count} of its events say something"
    if count := count_warnings(document):
        yield f"{count} rows have warnings or digests about the file that it came from"
    if runs := list(_uploads(document).values_list("pk", flat=True)):
        yield f"files were uploaded that may hold it, until the ingestion run #{runs[0]} ends"


def _left_in_cache(index: Index, document: Document) -> Iterator[str]:
    try:
        if any(True for _ in entries_of_purged(index.pk, 0 if document.purge_ended_at else index.version)):
            yield "retrievers have cached passages of its index"
    except REDIS_ERRORS as error:
        yield f"caches cannot be read: Redis does not answer ({type(error).__name__})"


def _left_in_stores(document: Document) -> Iterator[str]:
    try:
        for store in _stores:
            if count := store.count(_erased_versions(document)):
                yield f"{count} {store.name} hold passages of it"
    except REDIS_ERRORS as error:
        yield f"caches cannot be read: Redis does not answer ({type(error).__name__})"


def _locked(index: Index, entity_id: str, moment: datetime) -> Document:
    """Return the document's locked row; make one if only its events are there. Raise DocumentNotFound."""
    key = document_state_key(index.name, entity_id)
    if not Document.objects.filter(index=index, entity_id=entity_id).exists():
        if not events_about(key, entity_id, moment).exists():
            raise DocumentNotFound(f"There is no document {entity_id!r} in the index {index.name!r}.")
        new = Document(index=index, entity_id=entity_id, state=Document.State.DELETED, deleted_at=timezone.now())
        Document.objects.bulk_create([new], ignore_conflicts=True)
    return Document.objects.select_for_update().get(index=index, entity_id=entity_id)


def _erase_row(document: Document, moment: datetime) -> None:
    """Delete the document with all that it says."""
    chunks = Chunk.objects.filter(document=document)
    removed = dict(chunks.values_list("generation").annotate(count=Count("pk")))
    chunks.delete()
    now = timezone.now()
    last = document.versions.order_by("-number").values_list("number", flat=True).first() or 0
    _erase_versions(document, last)
    document.purged_at = moment
    erase_warnings(document)
    SourceDocument.objects.filter(document=document).delete()
    Document.objects.filter(pk=document.pk).update(
        **_SILENT, state=Document.State.DELETED, failures=0, retry_at=None, failed_event=None, version=None,
        occurred_at=moment, after_event=newest_event(), updated_at=now,
        deleted_at=document.deleted_at or now, purged_at=moment, purged_version=last, purge_ended_at=None,
    )  # fmt: skip
    content_type = ContentType.objects.get_for_model(Document)
    LogEntry.objects.filter(content_type=content_type, object_id=str(document.pk)).update(
        object_repr=document.entity_id[:200]
    )
    # As in `delete_document`; the version is increased even if it was deleted before, so that caches know of the purge.
    index = Index.objects.filter(pk=document.index_id)
    serving = index.select_for_update(no_key=True).values_list("generation", flat=True).get()
    index.update(version=F("version") + 1, chunk_count=F("chunk_count") - removed.get(serving, 0))


def _erase_history(document: Document, moment: datetime) -> None:
    """Erase what a document said up to `moment`, and keep its later state, which it serves."""
    assert document.version is not None
    before = document.versions.filter(created_at__lte=moment, number__lt=document.version.number)
    last = before.order_by("-number").values_list("number", flat=True).first() or 0
    _erase_versions(document, last)
    Document.objects.filter(pk=document.pk).update(
        purged_at=max(moment, document.purged_at or moment), purged_version=max(last, document.purged_version),
        purge_ended_at=None,
    )  # fmt: skip
    Index.objects.filter(pk=document.index_id).update(version=F("version") + 1)


def _erase_texts(document: Document) -> None:
    """Erase again what the row, the versions and their chunks say of what was purged."""
    _erase_versions(document, document.purged_version)
    Chunk.objects.filter(document=document, version__number__lte=document.purged_version).delete()
    Document.objects.filter(pk=document.pk).exclude(deleted_at=None).update(**_SILENT)


def _erase_versions(document: Document, last: int) -> None:
    versions = document.versions.filter(number__lte=last)
    versions.update(title="", text="", metadata={}, audience=[], content_hash="")


def _erased_versions(document: Document) -> list[int]:
    found = DocumentVersion.objects.filter(document=document, number__lte=document.purged_version)
    return list(found.values_list("pk", flat=True))


def _uploads(document: Document) -> QuerySet[IngestionRun]:
    """Return the runs with uploaded files that were there before the purge."""
    runs = IngestionRun.objects.filter(index=document.index_id, uploads__isnull=False)
    return runs.filter(created_at__lte=document.purged_at).order_by("pk").distinct()


def _key(document: Document) -> str:
    return document_state_key(document.index.name, document.entity_id)
