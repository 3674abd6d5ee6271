"""The conversation so far, as a context sees it: earlier questions with their answers, each an item of the budget."""

import re
from dataclasses import dataclass

from contexts.items import SEPARATOR, ContextItem, HistoryItem
from contexts.suspicion import without_role_tags

_CITATION = re.compile(r"[ \t]?\[\d{1,3}\]")
_NEWEST_PRIORITY = 2
_PRIORITY_STEP = 2


@dataclass(frozen=True, kw_only=True)
class PastTurn:
    """A question of the conversation, and its answer."""

    question: str
    answer: str
    message_id: int
    """Of the question's message."""


@dataclass(frozen=True)
class ConversationHistory:
    """The turns before the question, the oldest first; empty for the first question."""

    turns: tuple[PastTurn, ...] = ()

    @property
    def questions(self) -> tuple[str, ...]:
        """The earlier questions, the oldest first, as the option `history` of a search takes them."""
        return tuple(turn.question for turn in self.turns)

    def items(self, newest_priority: int = _NEWEST_PRIORITY, step: int = _PRIORITY_STEP) -> list[ContextItem]:
        """Return an item for each turn, the newest with `newest_priority`, each older one with `step` more.

        By default the newest turn is as important as the second of the best passages, so that the budget drops old
        turns first and keeps the newest longest.
        """
        count = len(self.turns)
        return [_item(turn, newest_priority + step * (count - 1 - index)) for index, turn in enumerate(self.turns)]

    def __len__(self) -> int:
        return len(self.turns)

    def __repr__(self) -> str:
        return f"{len(self)} earlier turn{'' if len(self) == 1 else 's'}"


def _item(turn: PastTurn, priority: int) -> HistoryItem:
    # The numbers of an earlier answer's sources mean other passages now.
    answer = without_role_tags(_CITATION.sub("", turn.answer))
    question = without_role_tags(turn.question)
    return HistoryItem(
        content=SEPARATOR.join([question, answer]),
        priority=priority,
        source_id=f"message:{turn.message_id}",
        question=question,
        answer=answer,
    )
