"""Enqueue the tasks of the chat that wait for a language model."""

from collections.abc import Sequence

from common.dispatch import MODEL_QUEUE, enqueue


def enqueue_answer(conversation_id: int) -> bool:
    """Have a worker answer what a person left to the bot; if the broker is down, the sweep does."""
    otherwise = f"conversation {conversation_id} waits for the sweep"
    return enqueue("chat.tasks.answer_unanswered", conversation_id, otherwise=otherwise, queue=MODEL_QUEUE)


def enqueue_summary(
    conversation_id: int, fallen: int, tier: str | None = None, key: int | None = None, context: str = ""
) -> bool:
    """Have a worker summarise the turns up to the question `fallen`, paid by the budgets of tier, key and context."""
    otherwise = "old turns are dropped without a summary"
    payer = (tier, key, context)
    return enqueue("chat.tasks.summarise", conversation_id, fallen, *payer, otherwise=otherwise, queue=MODEL_QUEUE)


def enqueue_due_gaps() -> bool:
    """Have a worker ask the gaps again whose article has changed."""
    return enqueue("chat.tasks.ask_due_gaps", otherwise="the gaps are asked later", queue=MODEL_QUEUE)


def enqueue_gap(gap_id: int, *, delay_s: float = 0.0, is_forced: bool = False, asked: Sequence[int] = ()) -> bool:
    """Have a worker ask the gap's questions again, but for those that were `asked`."""
    return enqueue(
        "chat.tasks.ask_gap", gap_id, is_forced, list(asked),
        otherwise=f"the gap {gap_id} waits for the sweep", queue=MODEL_QUEUE, delay_s=delay_s,
    )  # fmt: skip
