"""Compare a source with its documents, and index or withdraw what differs; the first fill is the same.

The objects are read in the order of their keys, in pages, and compared by a hash of what the source says. What differs
is indexed in batches, and the key of the last object is stored with each, so that the comparison goes on from there
after an end, a crash or a deploy. Then the documents are withdrawn whose objects are no longer in the queryset.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby

from django.conf import settings
from django.db import OperationalError
from django.db.models import Q
from django.utils import timezone

from common.clocks import is_past
from common.errors import FabraError, InvalidInput, NotFound, Unavailable
from common.locks import held
from retrieval.errors import EmbedderUnavailable, NotReached, ObjectUnreadable
from retrieval.indexing.bulk import Draft, Outcome, index_in_bulk
from retrieval.indexing.documents import delete_documents, ensure_index
from retrieval.model_sources.batches import SIZES, BatchSizes, ComparisonBatch, Done
from retrieval.model_sources.comparison import compare, failure_of, gone_in_page, orphans_in_page, read_pages
from retrieval.model_sources.declaration import ModelSourceSpec, model_sources
from retrieval.model_sources.handler import note, sync_lock, withdraw, withdraw_open
from retrieval.model_sources.reading import Reading, database_now
from retrieval.models import Document, ModelSource

logger = logging.getLogger(__name__)

_MANY = 10
"""Documents that a source has had when its queryset is taken for wrong where it is empty."""

Progress = Callable[[ModelSource], object]
GoneInPage = Callable[[ModelSourceSpec, ModelSource, int, int], tuple[list[str], int]]
Until = Callable[[], bool]


class SourceBusy(Unavailable):
    """The source is being compared by another process just now."""

    code = "source_busy"


def sync(
    source: ModelSourceSpec,
    *,
    on_progress: Progress = lambda _: None,
    until: Until = lambda: False,
    sizes: BatchSizes = SIZES,
) -> bool:
    """Go on with the comparison of a source, or begin one; return whether it is finished.

    `until` is called between pages and batches. Raise SourceBusy, EmbedderUnavailable, or ObjectUnreadable if the
    source's queryset fails.
    """
    with held(sync_lock(source.name)) as is_mine:
        if not is_mine:
            raise SourceBusy(
                f"{source.name} is being compared by another process just now: see Model sources in the admin, or run "
                "it again later."
            )
        row = ModelSource.objects.get(name=source.name)
        try:
            if not row.is_running:
                _begin(source, row)
            is_finished = _Comparison(source, row, on_progress, until, sizes).run()
        except FabraError as error:
            _update(row, error=str(error))
            raise
        except OperationalError:
            raise  # the connection is lost
        except Exception as error:  # the queryset may raise anything
            reason = failure_of(error)
            _update(row, error=reason, phase=ModelSource.Phase.IDLE, cursor="", finished_at=timezone.now())
            raise ObjectUnreadable(f"{source.name}: {reason}") from error
        if is_finished:
            _update(row, error="", phase=ModelSource.Phase.IDLE, cursor="", finished_at=timezone.now())
        return is_finished


def due_sources() -> list[str]:
    """Return the names of the sources that are to be compared now, or whose comparison is to go on."""
    active = ModelSource.objects.enabled().filter(name__in=model_sources)
    is_old = is_past("finished_at", since=settings.FABRA_MODEL_SYNC_EVERY)
    due = active.filter(Q(finished_at=None) | is_old | ~Q(phase=ModelSource.Phase.IDLE))
    return sorted({*due.values_list("name", flat=True), *active.requested().values_list("name", flat=True)})


def withdraw_documents(name: str) -> int:
    """Delete the documents of a source that is gone or switched off; return how many. Raise NotFound or InvalidInput.

    Those of an active source would come back.
    """
    row = ModelSource.objects.filter(name=name).first()
    if row is None:
        known = ", ".join(ModelSource.objects.order_by("name").values_list("name", flat=True)) or "none"
        raise NotFound(f"There is no model source {name!r}; there are: {known}.")
    if row.is_enabled and (row.gone_at is None or name in model_sources):
        raise InvalidInput(
            f"{name} is declared, or was so at the last migrate: switch it off in the admin first, or its documents "
            "would come back."
        )
    documents = Document.objects.live().filter(index__name=row.index, entity_id__startswith=f"{row.model}:")
    ids = documents.order_by("entity_id").values_list("entity_id", flat=True)
    count = 0
    while batch := list(ids[: SIZES.withdrawn]):
        count += len(delete_documents(row.index, batch).deleted)
    row.sourced.all().delete()
    return count


def _begin(source: ModelSourceSpec, row: ModelSource) -> None:
    ensure_index(source.index)
    now = timezone.now()
    _update(
        row, phase=ModelSource.Phase.COMPARE, cursor="", started_at=now, worked_at=now, error="", warning="",
        total=0, compared=0, changed=0, withdrawn=0, failed=0,
    )  # fmt: skip
    _update(row, total=source.queryset().count())


def _update(row: ModelSource, **columns: object) -> None:
    """Store columns of the row, which no other process writes while this one holds the source's lock."""
    for name, value in columns.items():
        setattr(row, name, value)
    row.save(update_fields=list(columns))


class _Comparison:
    def __init__(
        self, source: ModelSourceSpec, row: ModelSource, on_progress: Progress, until: Until, sizes: BatchSizes
    ) -> None:
        self.source, self.row, self.on_progress, self.until, self.sizes = source, row, on_progress, until, sizes
        self.in_flight: deque[ComparisonBatch] = deque()
        """Batches that are being indexed."""
        self.is_cut = False
        """Whether a batch was not indexed to its end, so that those behind it are compared again."""
        self.is_stopped = False

    def run(self) -> bool:
        if self.row.phase == ModelSource.Phase.COMPARE:
            try:
                for outcomes in index_in_bulk(self.source.index, self._batches(), self._is_over):
                    self._store(self.in_flight.popleft(), outcomes)
            except EmbedderUnavailable:
                for batch in self.in_flight:
                    self._close(batch.items)
                raise
            if self.is_stopped:
                return False
            self._refuse_to_withdraw_all()
            self._update(phase=ModelSource.Phase.WITHDRAW, cursor="")
        if self.row.phase == ModelSource.Phase.WITHDRAW:
            if not self._withdraw_gone(gone_in_page):
                return False
            self._update(phase=ModelSource.Phase.ORPHANS, cursor="")
            if self._is_over():
                return False
        return self._withdraw_gone(orphans_in_page)

    def _batches(self) -> Iterator[list[Draft]]:
        batch = ComparisonBatch()
        for page in read_pages(self.source, self.row.cursor, self.sizes):
            found = compare(self.source, self.row, page)
            wrong = [(reading, "", found.errors[reading.pk]) for reading in page.readings if reading.pk in found.errors]
            self._withdraw_open([reading for reading, *_ in wrong], page.moment)
            note(self.row, wrong)
            self._withdraw(sorted(found.empty), page.moment)
            if page.warning and not self.row.warning:
                logger.warning("%s: %s", self.source.name, page.warning)
                self._update(warning=page.warning)
            for reading in page.readings:
                if draft := found.drafts.get(reading.pk):
                    batch.add(reading, draft)
                is_wrong = reading.pk in found.errors or reading.pk in found.waiting
                batch.done = Done(reading.pk, batch.done.compared + 1, batch.done.failed + is_wrong)
                if batch.is_full(self.sizes):
                    yield self._begin(batch)
                    batch = ComparisonBatch()
                    if self._is_over():
                        return
            if not batch.items:
                self._pass(batch)
                batch = ComparisonBatch()
            if self._is_over():
                break
        if batch.items:
            yield self._begin(batch)

    def _pass(self, batch: ComparisonBatch) -> None:
        """Store that objects do not differ, with those that are being indexed before them."""
        if self.in_flight:
            self.in_flight[-1].take(batch)
        else:
            self._advance(batch.done)

    def _is_over(self) -> bool:
        self.is_stopped = self.is_stopped or self.until()
        return self.is_stopped

    def _begin(self, batch: ComparisonBatch) -> list[Draft]:
        self.in_flight.append(batch)
        return [draft for _, draft in batch.items]

    def _store(self, batch: ComparisonBatch, outcomes: Sequence[Outcome]) -> None:
        pairs = list(zip(batch.items, outcomes, strict=True))
        reached = [(*item, outcome) for item, outcome in pairs if not isinstance(outcome, NotReached)]
        self._close([(reading, draft) for reading, draft, outcome in reached if isinstance(outcome, FabraError)])
        notes: list[tuple[Reading, str, str]] = []
        for reading, draft, outcome in reached:
            if isinstance(outcome, EmbedderUnavailable):
                raise outcome
            if isinstance(outcome, FabraError):
                notes.append((reading, "", str(outcome)))
            elif not outcome.is_superseded:  # otherwise an event about it was faster
                notes.append((reading, draft.check(self.source.index).digest, ""))
        note(self.row, notes)
        end = next((n for n, (_, outcome) in enumerate(pairs) if isinstance(outcome, NotReached)), len(pairs))
        done = batch.done if end == len(pairs) else batch.before[end]
        failed = sum(isinstance(outcome, FabraError) for _, outcome in pairs[:end])
        if self.is_cut:  # it is compared again, and what was written of it found equal
            done, failed = Done(), 0
        self.is_cut = self.is_cut or end < len(pairs)
        self._advance(replace(done, failed=done.failed + failed), changed=len(reached))

    def _advance(self, done: Done, changed: int = 0) -> None:
        self._update(
            cursor=done.cursor or self.row.cursor, compared=self.row.compared + done.compared,
            failed=self.row.failed + done.failed, changed=self.row.changed + changed,
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
            gone, last = in_page(self.source, self.row, int(self.row.cursor or 0), self.sizes.looked_for)
            for start in range(0, len(gone), self.sizes.withdrawn):
                if start and self._is_over():
                    return False  # the rest of the page is found again
                self._withdraw(gone[start : start + self.sizes.withdrawn], moment)
            if not last:
                return True
            self._update(cursor=str(last))
            if self._is_over():
                return False

    def _withdraw(self, keys: Sequence[str], moment: datetime) -> None:
        """Withdraw these documents in one transaction: of a page of objects, or of what is gone."""
        if keys:
            withdraw(self.source, self.row, keys, moment)
            self._update(withdrawn=self.row.withdrawn + len(keys))

    def _close(self, items: Sequence[tuple[Reading, Draft]]) -> None:
        """Withdraw what could not be indexed and is open to others than may read it."""
        for moment, same in groupby(items, lambda item: item[1].origin.occurred_at or database_now()):
            self._withdraw_open([reading for reading, _ in same], moment)

    def _withdraw_open(self, failed: Sequence[Reading], moment: datetime) -> None:
        if count := withdraw_open(self.source, self.row, failed, moment):
            self._update(withdrawn=self.row.withdrawn + count)
