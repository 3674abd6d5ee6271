"""What a context function returns, and what the assembly makes of it."""

from dataclasses import dataclass, field
from typing import Any

from contexts.errors import AssemblyError

SEPARATOR = "\n\n"


@dataclass(frozen=True)
class ContextItem:
    """A piece of context; 0 is the most important priority, and a required item is never dropped."""

    content: str
    priority: int = 0
    required: bool = False
    source_id: str | None = None
    """Where it is from, such as a hit's `chunk:17`."""

    def __post_init__(self) -> None:
        if not isinstance(self.content, str):
            raise AssemblyError(f"A ContextItem's content must be a string, not {type(self.content).__name__}.")
        if isinstance(self.priority, bool) or not isinstance(self.priority, int):
            raise AssemblyError(f"A ContextItem's priority must be a whole number, not {self.priority!r}.")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the budget did with one item, and why."""

    item: ContextItem
    tokens: int
    """Of the item alone; the context's sum differs by its separators."""
    is_kept: bool
    reason: str


@dataclass(frozen=True)
class Context:
    """An assembled context; made by hand with `items` alone, it is still to be assembled."""

    items: list[ContextItem] = field(default_factory=list)
    id: str = ""
    """The id of its trace; empty before the assembly."""
    content: str = ""
    """The text the model gets: the kept items in their order, joined with an empty line."""
    tokens: int = 0
    max_tokens: int = 0
    decisions: list[Decision] = field(default_factory=list, repr=False)
    evidence: dict[str, Any] = field(default_factory=dict, repr=False)
    """The trace's body."""

    @property
    def freshness(self) -> dict[str, Any] | None:
        """What its `freshness_sla` found, as the trace has it; None without one."""
        return self.evidence.get("freshness")

    @property
    def is_assembled(self) -> bool:
        return bool(self.id)

    def __str__(self) -> str:
        return self.content
