"""Write and delete many documents in the order of a stream, at the rate of the bulk indexing."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from common.errors import FabraError
from retrieval.errors import DocumentNotFound, EmbedderUnavailable, IndexNotFound
from retrieval.indexing.bulk import Draft, Outcome, index_in_bulk, is_batch
from retrieval.indexing.documents import delete_document

_MOST_DELETIONS = 100
"""The most deletions whose outcomes are reported together."""


@dataclass(frozen=True, kw_only=True)
class Write:
    number: int
    draft: Draft

    @property
    def entity_id(self) -> str:
        return self.draft.entity_id


@dataclass(frozen=True, kw_only=True)
class Delete:
    number: int
    entity_id: str


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """The outcome of a Delete."""

    was_there: bool


Operation = Write | Delete


def apply_in_bulk(index_name: str, operations: Iterable[Operation | None]) -> Iterator[tuple[int, Outcome | Deletion]]:
    """Apply the operations; yield the number of each with its outcome, those of one document in their order.

    None says that the next operation is not there yet: what was read is then applied, rather than kept for a batch.
    Raise EmbedderUnavailable if no document can be embedded, after the outcomes of what was read.
    """
    return _Pipeline(index_name, operations).run()


class _Pipeline:
    def __init__(self, index_name: str, operations: Iterable[Operation | None]) -> None:
        self._index_name = index_name
        self._operations = iter(operations)
        self._held: Operation | None = None
        """Read, and waiting for an earlier operation on its document."""
        self._is_over = False
        self._in_flight: deque[list[Write]] = deque()
        self._pending: set[str] = set()
        """The ids of the documents in flight."""
        self._done: list[tuple[int, Outcome | Deletion]] = []

    def run(self) -> Iterator[tuple[int, Outcome | Deletion]]:
        while not self._is_over:
            try:
                for outcomes in index_in_bulk(self._index_name, self._batches()):
                    for write, outcome in zip(self._in_flight.popleft(), outcomes, strict=True):
                        self._pending.discard(write.entity_id)
                        yield write.number, outcome
                    yield from self._take_done()
            except EmbedderUnavailable as error:
                yield from self._take_done()
                yield from ((write.number, error) for batch in self._in_flight for write in batch)
                raise
            yield from self._take_done()

    def _batches(self) -> Iterator[list[Draft]]:
        """Yield batches until the input ends or pauses, or an operation has to wait for one that is in flight."""
        batch: list[Write] = []
        chars = 0
        while (operation := self._next()) is not None:
            if isinstance(operation, Delete):
                self._done.append((operation.number, self._delete(operation)))
                if len(self._done) >= _MOST_DELETIONS:
                    break
                continue
            batch.append(operation)
            self._pending.add(operation.entity_id)
            chars += len(operation.draft.text)
            if is_batch(len(batch), chars):
                self._in_flight.append(batch)
                yield [write.draft for write in batch]
                batch, chars = [], 0
        if batch:
            self._in_flight.append(batch)
            yield [write.draft for write in batch]

    def _next(self) -> Operation | None:
        """Return the next operation that can be applied; None where the pipeline has to be emptied first."""
        operation, self._held = self._held, None
        if operation is None:
            try:
                operation = next(self._operations)
            except StopIteration:
                self._is_over = True
        if operation is None:
            return None
        if operation.entity_id in self._pending:
            self._held = operation
            return None
        return operation

    def _delete(self, operation: Delete) -> Deletion | FabraError:
        try:
            delete_document(self._index_name, operation.entity_id)
        except (DocumentNotFound, IndexNotFound):
            return Deletion(was_there=False)
        except FabraError as error:
            return error
        return Deletion(was_there=True)

    def _take_done(self) -> list[tuple[int, Outcome | Deletion]]:
        done, self._done = self._done, []
        return done
