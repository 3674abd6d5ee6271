"""The items that a context function returns, and the context assembled from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from common.validation import is_blank
from contexts.errors import AssemblyError

SEPARATOR = "\n\n"


@dataclass(frozen=True)
class ContextItem:
    """A piece of context that the budget keeps or drops as a whole.

    0 is the most important `priority`, a greater number is dropped before a smaller one, and a `required` item never.
    Raise AssemblyError for a content that is no string, or a priority that is no whole number.
    """

    content: str
    priority: int = 0
    required: bool = False
    source_id: str | None = None
    """The source of the content, such as a hit's `chunk:17`."""

    def __post_init__(self) -> None:
        if not isinstance(self.content, str):
            raise AssemblyError(f"A ContextItem's content must be a string, not {type(self.content).__name__}.")
        if isinstance(self.priority, bool) or not isinstance(self.priority, int):
            raise AssemblyError(f"A ContextItem's priority must be a whole number, not {self.priority!r}.")


@dataclass(frozen=True)
class HistoryItem(ContextItem):
    """A turn of the conversation, as `ConversationHistory.items` makes it; its `content` is what the budget counts.

    The model gets it as two messages, so it is neither the author's text nor quoted.
    """

    question: str = ""
    answer: str = ""


def prompt_text(system: str, history: Sequence[HistoryItem], reference: str) -> str:
    """Return the parts of a prompt as one text."""
    parts = [system, *(item.content for item in history), reference]
    return SEPARATOR.join(part for part in parts if part)


@dataclass(frozen=True)
class Escalation:
    """The wish of a context function that a person takes the conversation over; it is no content."""

    reason: str

    def __post_init__(self) -> None:
        if not isinstance(self.reason, str) or is_blank(self.reason):
            raise AssemblyError("escalate() takes the reason, a text.")


def escalate(reason: str) -> Escalation:
    """Return the wish that a person takes over, for a context function to return.

    Among the items, the bot still answers; alone, it does not. Raise AssemblyError for a blank reason.
    """
    return Escalation(reason)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether the budget kept one item, and the reason, as the trace shows it."""

    item: ContextItem
    tokens: int
    """The number in the item alone; the context's number differs from the sum by the separators."""
    is_kept: bool
    reason: str


@dataclass(frozen=True)
class Context:
    """An assembled context; one that is created with `items` alone is not assembled yet."""

    items: list[ContextItem] = field(default_factory=list)
    id: str = ""
    """The id of its trace; empty before the assembly."""
    content: str = ""
    """The kept items in their order, joined by an empty line."""
    system: str = ""
    """What the context's author wrote, for the system's part of the messages."""
    history: list[HistoryItem] = field(default_factory=list)
    """The kept turns of the conversation, the oldest first; each is two messages."""
    reference: str = ""
    """What others wrote, such as passages, fenced; it belongs into the user's part of the messages."""
    tokens: int = 0
    """The tokens of the kept items with what joins them, as the context's model counts them."""
    max_tokens: int = 0
    """The budget."""
    decisions: list[Decision] = field(default_factory=list, repr=False)
    escalation: Escalation | None = None
    """The function's wish that a person takes over; the context has no items if it returned nothing else."""
    evidence: dict[str, Any] = field(default_factory=dict, repr=False)
    """The trace's body."""

    @property
    def prompt(self) -> str:
        """Return the text that a chat sends to its model: system, turns, then reference, fences included."""
        return prompt_text(self.system, self.history, self.reference)

    @property
    def freshness(self) -> dict[str, Any] | None:
        """Return the freshness report as stored in the trace; None without a `freshness_sla`."""
        return self.evidence.get("freshness")

    @property
    def is_assembled(self) -> bool:
        """Whether it is the result of a call, and so has an id, a text and a trace."""
        return bool(self.id)

    def __str__(self) -> str:
        return self.content
