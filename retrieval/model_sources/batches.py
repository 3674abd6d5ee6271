"""The objects that a comparison indexes together, and how far it is with them."""

from dataclasses import dataclass, field

from retrieval.indexing.bulk import Draft
from retrieval.model_sources.reading import Reading


@dataclass(frozen=True, kw_only=True)
class BatchSizes:
    """How many objects are read, indexed and withdrawn together."""

    first_page: int = 500
    page: int = 4000
    page_chars: int = 4_000_000
    """About how many characters the objects of a later page have together."""
    indexed: int = 4000
    indexed_chars: int = 4_000_000
    """What is written in one transaction, so that long texts take few statements too.

    What a crash loses takes the local model two minutes. An end that is requested loses nothing: it is looked for while
    a batch is embedded.
    """
    looked_for: int = 10_000
    """Documents whose objects are looked for in one query."""
    withdrawn: int = 1000
    """Documents that are withdrawn in one transaction."""


SIZES = BatchSizes()


@dataclass(frozen=True)
class Done:
    """How far a batch has come: the last key, and how many objects were compared and have failed."""

    cursor: str = ""
    compared: int = 0
    failed: int = 0


@dataclass
class ComparisonBatch:
    """Objects up to a key that were compared, and the drafts of those that differ."""

    items: list[tuple[Reading, Draft]] = field(default_factory=list)
    before: list["Done"] = field(default_factory=list)
    """What was done before each item."""
    done: Done = field(default_factory=Done)
    chars: int = 0

    def add(self, reading: Reading, draft: Draft) -> None:
        self.before.append(self.done)
        self.items.append((reading, draft))
        self.chars += len(draft.text)

    def is_full(self, sizes: BatchSizes) -> bool:
        return self.chars >= sizes.indexed_chars or len(self.items) >= sizes.indexed

    def take(self, later: "ComparisonBatch") -> None:
        """Take over objects that follow, and do not differ."""
        self.done = Done(
            cursor=later.done.cursor or self.done.cursor,
            compared=self.done.compared + later.done.compared,
            failed=self.done.failed + later.done.failed,
        )
