"""The conversation so far, as a context sees it: earlier questions with their answers, each an item of the budget."""

import re
from dataclasses import dataclass, field

from django.conf import settings
from django.utils.translation import get_language

from contexts.items import SEPARATOR, ContextItem, HistoryItem
from contexts.suspicion import without_role_tags
from retrieval.search.questions import EarlierQuestion, Embedding

_CITATION = re.compile(r"[ \t]?\[\d{1,3}\]")
_NEWEST_PRIORITY = 2
_PRIORITY_STEP = 2
_SUMMARY_AGE = 2
"""The newest summary is as important as the turn of this age: it says more than an old turn of its length."""
CLIENT = "client"
"""Begins the source of what only the client tells, of which no row of ours says that it was so."""
NOT_OFFERED = "history:not_offered"
"""The source of the item about messages that are not offered."""
_NOT_OFFERED_TEXT = "Earlier messages of the user in this conversation that are not shown here: {}."
_SUMMARY_LABEL = "Earlier in this conversation, in summary:"


@dataclass(frozen=True, kw_only=True)
class PastTurn:
    """A question of the conversation, and its answer."""

    question: str
    answer: str
    embedding: Embedding | None = field(default=None, compare=False, repr=False)
    """The question's embedding, where it was stored with the message."""
    message_id: int = 0
    """The id of the question's message; 0 for a turn that only the client reports."""


@dataclass(frozen=True, kw_only=True)
class PastSummary:
    """What a model made of turns that are no longer offered themselves."""

    text: str
    summary_id: int
    turn_count: int


@dataclass(frozen=True, kw_only=True)
class Remark:
    """A text of the client that is no turn, such as a system message: foreign, and no instruction."""

    text: str
    label: str = "The application that the user writes in says:"


@dataclass(frozen=True)
class ConversationHistory:
    """What was said before the question: the turns, and summaries of older ones, each the oldest first.

    Of a long conversation only the newest are read, and the rest is counted.
    """

    turns: tuple[PastTurn, ...] = ()
    """Empty for the first question."""
    summaries: tuple[PastSummary, ...] = ()
    query: str = ""
    """The question as it was typed."""
    rewritten: str = ""
    """The question in words that stand alone, where FABRA_REWRITE had a model write it; otherwise empty."""
    language: str = field(default_factory=lambda: get_language() or settings.LANGUAGE_CODE)
    """The language of the person who asks, such as `de`: Django's active language, which follows the request."""
    remarks: tuple[Remark, ...] = ()
    left_out: int = 0
    """How many earlier messages of the user are neither among the turns nor in a summary."""

    @property
    def asked(self) -> tuple[str, ...]:
        """The earlier questions as the user asked them, the oldest first."""
        return tuple(turn.question for turn in self.turns)

    @property
    def questions(self) -> tuple[EarlierQuestion, ...]:
        """What to search for beside the question, the oldest first, as the option `history` of a search takes it.

        These are the earlier questions, with their embeddings, and the rewritten one.
        """
        asked = tuple(EarlierQuestion(turn.question, embedding=turn.embedding) for turn in self.turns)
        return (*asked, EarlierQuestion(self.rewritten, is_rewritten=True)) if self.rewritten else asked

    def items(self, newest_priority: int = _NEWEST_PRIORITY, step: int = _PRIORITY_STEP) -> list[ContextItem]:
        """Return an item for each remark, each summary, and each turn, the newest with `newest_priority`.

        Each older turn has `step` more. By default the newest turn is as important as the second of the best passages,
        so that the budget drops old turns first and keeps the newest longest. The newest summary is as important as
        the third turn from the end, and each older one has `step` more. Remarks are as important as that turn. Where
        more was said than is offered, an item says so, which goes first.
        """
        turns, summaries = len(self.turns), len(self.summaries)
        last = newest_priority + step * max(turns, summaries + _SUMMARY_AGE)
        return [
            *([_left_out_item(self.left_out, last)] if self.left_out else []),
            *(_remark_item(remark, newest_priority + step * _SUMMARY_AGE) for remark in self.remarks),
            *(
                _summary_item(summary, newest_priority + step * (_SUMMARY_AGE + summaries - 1 - index))
                for index, summary in enumerate(self.summaries)
            ),
            *(_item(turn, newest_priority + step * (turns - 1 - index)) for index, turn in enumerate(self.turns)),
        ]

    def __len__(self) -> int:
        return len(self.turns)

    def __repr__(self) -> str:
        return f"{len(self)} earlier turn{'' if len(self) == 1 else 's'}"


def _left_out_item(count: int, priority: int) -> ContextItem:
    return ContextItem(content=_NOT_OFFERED_TEXT.format(count), priority=priority, source_id=NOT_OFFERED)


def _summary_item(summary: PastSummary, priority: int) -> ContextItem:
    return ContextItem(
        content=f"{_SUMMARY_LABEL}\n{summary.text}", priority=priority, source_id=f"summary:{summary.summary_id}"
    )


def _remark_item(remark: Remark, priority: int) -> ContextItem:
    return ContextItem(content=f"{remark.label}\n{remark.text}", priority=priority, source_id=f"{CLIENT}:remark")


def _item(turn: PastTurn, priority: int) -> HistoryItem:
    # The numbers of an earlier answer's sources mean other passages now.
    answer = without_role_tags(_CITATION.sub("", turn.answer))
    question = without_role_tags(turn.question)
    return HistoryItem(
        content=SEPARATOR.join([question, answer]),
        priority=priority,
        source_id=f"message:{turn.message_id}" if turn.message_id else f"{CLIENT}:turn",
        question=question,
        answer=answer,
    )
