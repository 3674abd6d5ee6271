"""Background tasks of the chat."""

from collections.abc import Sequence

from asgiref.sync import async_to_sync

from chat.conversations import summaries
from chat.cost_budgets import reservations
from chat.dispatch import enqueue_due_gaps, enqueue_gap
from chat.engine import gap_questions, interrupted, unanswered
from chat.gaps import decisions, grouping
from chat.handover import endings
from chat.limits.key_use import store_use
from chat.spending import sums
from common.bot_task import bot_task
from common.locks import held
from common.time_slices import task_slice

_MOST_GAPS = 20


@bot_task
def store_key_use() -> None:
    """Store how often API keys were used, as Redis has counted it."""
    store_use()


@bot_task
def roll_up_spending() -> None:
    """Sum up what models cost on the days that are over."""
    sums.roll_up()


@bot_task
def recount_budgets() -> None:
    """Sum up anew what is spent of the budgets that many share."""
    async_to_sync(reservations.recount)()


@bot_task
def answer_unanswered(conversation_id: int) -> None:
    """Have the bot answer a customer's message that a person left to it; a second task finds it answered."""
    async_to_sync(unanswered.answer_last)(conversation_id)


@bot_task
def sweep_conversations() -> None:
    """Take back what people left unanswered, have the bot answer it, and end what nobody comes to."""
    unanswered.take_back()
    endings.end_waits()
    unanswered.enqueue_forgotten()


@bot_task
def end_interrupted_answers() -> None:
    """Give the traces of answers whose process was killed their outcome."""
    interrupted.end_interrupted()


@bot_task
def summarise(
    conversation_id: int, fallen: int, tier: str | None = None, key: int | None = None, context: str = ""
) -> None:
    """Summarise the turns of a conversation that are no longer offered; see chat.conversations.summaries."""
    summaries.summarise(conversation_id, fallen, tier, key, context)


@bot_task
def tend_gaps() -> None:
    """Group the questions that were not answered, and have the gaps asked again whose article has changed."""
    grouping.group_new()
    if decisions.due_gaps(1):
        enqueue_due_gaps()


@bot_task
def ask_due_gaps() -> None:
    """Ask the gaps again whose article has changed, for some seconds; those that are left are due at the next time.

    One task at a time does that, so that other work that waits for a model has a process.
    """
    until = task_slice()
    with held("ask due gaps") as is_mine:
        for gap_pk in decisions.due_gaps(_MOST_GAPS) if is_mine else ():
            gap_questions.ask_gap(gap_pk, until=until)
            if until():
                return


@bot_task
def ask_gap(gap_pk: int, is_forced: bool = False, asked: Sequence[int] = ()) -> None:
    """Ask a gap's questions again for some seconds; another task goes on behind what came meanwhile.

    A task that is delivered twice finds the gap locked, or asked.
    """
    done = list(asked)
    is_done = gap_questions.ask_gap(gap_pk, is_forced=is_forced, until=task_slice(), asked=done)
    if not is_done and len(done) > len(asked):
        enqueue_gap(gap_pk, is_forced=is_forced, asked=done)
