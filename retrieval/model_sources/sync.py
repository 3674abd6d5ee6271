"""Compare a source with its documents, and index or withdraw what differs; the first fill is the same.

The objects are read in the order of their keys, in pages, and compared by a hash of what the source says. What differs
is indexed in batches, and the key of the last object is stored with each, so that the comparison goes on from there
after an end, a crash or a deploy. Then the documents are withdrawn whose objects are no longer in the queryset.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.db import OperationalError
from django.db.models import Q
from django.utils import timezone

from common.clocks import is_past
from common.errors import FabraError, InvalidInput, NotFound, Unavailable
from common.locks import held
from common.text import storable
from retrieval.errors import EmbedderUnavailable, ObjectUnreadable
from retrieval.indexing.bulk import Draft, Outcome, index_in_bulk
from retrieval.indexing.documents import delete_documents, ensure_index
from retrieval.model_sources.comparison import compare, gone_in_page, orphans_in_page, read_pages
from retrieval.model_sources.declaration import ModelSourceSpec, model_sources
from retrieval.model_sources.handler import note, sync_lock, withdraw, withdraw_open
from retrieval.model_sources.reading import Reading, database_now
from retrieval.models import Document, ModelSource

BATCH_CHARS = 1_000_000
"""Characters of a batch: what is lost in a crash takes the local model half a minute."""
SLICE_BATCH_CHARS = 150_000
"""The same for a worker, whose task is to end soon after its time."""
_GONE_AT_ONCE = 1000
"""Documents that are withdrawn in one transaction."""
_MANY = 10
"""Documents that a source has had when its queryset is taken for wrong where it is empty."""

Progress = Callable[[ModelSource], object]
GoneInPage = Callable[[ModelSourceSpec, ModelSource, int, int], tuple[list[str], int]]
Until = Callable[[], bool]


class SourceBusy(Unavailable):
    """The source is being compared by another process just now."""

    code = "source_busy"


@dataclass
class _Batch:
    """Objects up to a key that were compared, and the drafts of those that differ."""

    moment: datetime
    """Before the objects were read."""
    items: list[tuple[Reading, Draft]] = field(default_factory=list)
    cursor: str = ""
    chars: int = 0
    compared: int = 0
    failed: int = 0

    def take(self, later: "_Batch") -> None:
        """Take over objects that follow, and do not differ."""
        self.cursor = later.cursor or self.cursor
        self.compared, self.failed = self.compared + later.compared, self.failed + later.failed


def sync(
    source: ModelSourceSpec,
    *,
    batch_chars: int = BATCH_CHARS,
    on_progress: Progress = lambda _: None,
    until: Until = lambda: False,
) -> bool:
    """Go on with the comparison of a source, or begin one; return whether it is finished.

    `until` is called between pages and batches. Raise SourceBusy, EmbedderUnavailable, or ObjectUnreadable if the
    source's queryset fails.
    """
    with held(sync_lock(source.name)) as is_mine:
        if not is_mine:
            raise SourceBusy
        row = ModelSource.objects.get(name=source.name)
        try:
            if not row.is_running:
                _begin(source, row)
            is_finished = _Comparison(source, row, batch_chars, on_progress, until).run()
        except FabraError as error:
            _update(row, error=str(error))
            raise
        except OperationalError:
            raise  # the connection is lost
        except Exception as error:  # the queryset may raise anything
            reason = storable(f"queryset(): it raised {type(error).__name__}: {error}"[:1000])
            _update(row, error=reason, phase=ModelSource.Phase.IDLE, cursor="", finished_at=timezone.now())
            raise ObjectUnreadable(f"{source.name}: {reason}") from error
        if is_finished:
            _update(row, error="", phase=ModelSource.Phase.IDLE, cursor="", finished_at=timezone.now())
        return is_finished


def due_sources() -> list[str]:
    """Return the names of the sources that are to be compared now, or whose comparison is to go on."""
    active = ModelSource.objects.active().filter(name__in=model_sources)
    is_old = is_past("finished_at", since=settings.FABRA_MODEL_SYNC_EVERY)
    due = active.filter(Q(finished_at=None) | is_old | ~Q(phase=ModelSource.Phase.IDLE))
    return sorted({*due.values_list("name", flat=True), *active.requested().values_list("name", flat=True)})


def withdraw_documents(name: str) -> int:
    """Delete the documents of a source that is gone or switched off; return how many. Raise NotFound or InvalidInput.

    Those of an active source would come back.
    """
    row = ModelSource.objects.filter(name=name).first()
    if row is None:
        raise NotFound(f"There is no model source {name!r}.")
    if row.is_enabled and row.gone_at is None:
        raise InvalidInput(f"{name} is declared: switch it off in the admin first, or its documents would come back.")
    documents = Document.objects.live().filter(index__name=row.index, entity_id__startswith=f"{row.model}:")
    ids = documents.order_by("entity_id").values_list("entity_id", flat=True)
    count = 0
    while batch := list(ids[:_GONE_AT_ONCE]):
        count += len(delete_documents(row.index, batch).deleted)
    row.sourced.all().delete()
    return count


def _begin(source: ModelSourceSpec, row: ModelSource) -> None:
    ensure_index(source.index)
    now = timezone.now()
    _update(
        row, phase=ModelSource.Phase.COMPARE, cursor="", started_at=now, worked_at=now, error="",
        total=source.queryset().count(), compared=0, changed=0, withdrawn=0, failed=0,
    )  # fmt: skip


def _update(row: ModelSource, **columns: object) -> None:
    """Store columns of the row, which no other process writes while this one holds the source's lock."""
    for name, value in columns.items():
        setattr(row, name, value)
    row.save(update_fields=list(columns))


class _Comparison:
    def __init__(
        self, source: ModelSourceSpec, row: ModelSource, batch_chars: int, on_progress: Progress, until: Until
    ) -> None:
        self.source, self.row, self.batch_chars = source, row, batch_chars
        self.on_progress, self.until = on_progress, until
        self.in_flight: deque[_Batch] = deque()
        """Batches that are being indexed."""
        self.is_stopped = False

    def run(self) -> bool:
        if self.row.phase == ModelSource.Phase.COMPARE:
            try:
                for outcomes in index_in_bulk(self.source.index, self._batches()):
                    self._store(self.in_flight.popleft(), outcomes)
            except EmbedderUnavailable:
                for batch in self.in_flight:
                    self._withdraw_open([reading for reading, _ in batch.items], batch.moment)
                raise
            if self.is_stopped:
                return False
            self._refuse_to_withdraw_all()
            self._update(phase=ModelSource.Phase.WITHDRAW, cursor="")
        if self.row.phase == ModelSource.Phase.WITHDRAW:
            if not self._withdraw_gone(gone_in_page):
                return False
            self._update(phase=ModelSource.Phase.ORPHANS, cursor="")
        return self._withdraw_gone(orphans_in_page)

    def _batches(self) -> Iterator[list[Draft]]:
        for page in read_pages(self.source, self.row.cursor):
            found = compare(self.source, self.row, page)
            wrong = [(reading, "", found.errors[reading.pk]) for reading in page.readings if reading.pk in found.errors]
            self._withdraw_open([reading for reading, *_ in wrong], page.moment)
            note(self.row, wrong)
            self._withdraw(sorted(found.empty), page.moment)
            batch = _Batch(page.moment)
            for reading in page.readings:
                batch.cursor, batch.compared = reading.pk, batch.compared + 1
                batch.failed += reading.pk in found.errors or reading.pk in found.waiting
                if draft := found.drafts.get(reading.pk):
                    batch.items.append((reading, draft))
                    batch.chars += len(draft.text)
                if batch.chars >= self.batch_chars:
                    yield self._begin(batch)
                    batch = _Batch(page.moment)
                    if self._is_over():
                        return
            if batch.items:
                yield self._begin(batch)
            elif self.in_flight:  # what did not differ is stored with what is being indexed
                self.in_flight[-1].take(batch)
            else:
                self._advance(batch)
            if self._is_over():
                return

    def _is_over(self) -> bool:
        self.is_stopped = self.is_stopped or self.until()
        return self.is_stopped

    def _begin(self, batch: _Batch) -> list[Draft]:
        self.in_flight.append(batch)
        return [draft for _, draft in batch.items]

    def _store(self, batch: _Batch, outcomes: Sequence[Outcome]) -> None:
        outcome_of = zip(batch.items, outcomes, strict=True)
        failed = [reading for (reading, _), outcome in outcome_of if isinstance(outcome, FabraError)]
        self._withdraw_open(failed, batch.moment)
        notes: list[tuple[Reading, str, str]] = []
        for (reading, draft), outcome in zip(batch.items, outcomes, strict=True):
            if isinstance(outcome, EmbedderUnavailable):
                raise outcome
            if isinstance(outcome, FabraError):
                notes.append((reading, "", str(outcome)))
                batch.failed += 1
            elif not outcome.is_superseded:  # otherwise an event about it was faster
                notes.append((reading, draft.check(self.source.index).digest, ""))
        note(self.row, notes)
        self._advance(batch)

    def _advance(self, batch: _Batch) -> None:
        self._update(
            cursor=batch.cursor or self.row.cursor, compared=self.row.compared + batch.compared,
            failed=self.row.failed + batch.failed, changed=self.row.changed + len(batch.items),
        )  # fmt: skip
        self.on_progress(self.row)

    def _update(self, **columns: object) -> None:
        _update(self.row, worked_at=timezone.now(), **columns)

    def _refuse_to_withdraw_all(self) -> None:
        """Raise ObjectUnreadable for a queryset that is empty, as a manager's is that lacks a tenant here."""
        known = self.row.sourced.count()
        if known >= _MANY and not self.source.queryset().exists():
            self._update(phase=ModelSource.Phase.IDLE, cursor="", finished_at=timezone.now())
            raise ObjectUnreadable(
                f"{self.source.name}: its queryset() is empty, and {known:,} documents are of it; none was withdrawn. "
                f'If that is right, switch it off and run: manage.py sync_models --withdraw "{self.source.name}"'
            )

    def _withdraw_gone(self, in_page: GoneInPage) -> bool:
        """Withdraw the documents of objects that are not in the queryset; return whether all were looked for."""
        while True:
            moment = database_now()
            gone, last = in_page(self.source, self.row, int(self.row.cursor or 0), _GONE_AT_ONCE)
            self._withdraw(gone, moment)
            if not last:
                return True
            self._update(cursor=str(last))
            if self._is_over():
                return False

    def _withdraw(self, keys: Sequence[str], moment: datetime) -> None:
        for start in range(0, len(keys), _GONE_AT_ONCE):
            batch = keys[start : start + _GONE_AT_ONCE]
            withdraw(self.source, self.row, batch, moment)
            self._update(withdrawn=self.row.withdrawn + len(batch))

    def _withdraw_open(self, failed: Sequence[Reading], moment: datetime) -> None:
        if count := withdraw_open(self.source, self.row, failed, moment):
            self._update(withdrawn=self.row.withdrawn + count)
