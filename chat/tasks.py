"""Background tasks of the chat."""

import time
from datetime import timedelta

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from chat.conversations import summaries
from chat.gaps import asking, decisions, grouping
from chat.handover import endings, unanswered
from chat.limits.key_use import prune_use, store_use
from chat.models import CountedRequest
from chat.spending import sums
from common.bot_task import bot_task

_LONGEST_WINDOW = timedelta(days=1)
_MOST_GAPS = 20
_SLICE_S = 10.0


@bot_task
def clear_old() -> None:
    """Delete expired sessions, sign-ins and use of keys past their retention, and counts of former outages."""
    if settings.FABRA_OWN_PROJECT:  # another project's sessions and sign-ins are its own
        call_command("clearsessions")
        call_command("axes_reset_logs", age=settings.FABRA_SIGN_IN_RETENTION_DAYS)
        call_command("axes_reset_failure_logs", age=settings.FABRA_SIGN_IN_RETENTION_DAYS)
    CountedRequest.objects.filter(created_at__lt=timezone.now() - _LONGEST_WINDOW).delete()
    prune_use()


@bot_task
def store_key_use() -> None:
    """Store how often API keys were used, as Redis has counted it."""
    store_use()


@bot_task
def roll_up_spending() -> None:
    """Sum up what models cost on the days that are over."""
    sums.roll_up()


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
def summarise(conversation_id: int, fallen: int) -> None:
    """Summarise the turns of a conversation that are no longer offered; see chat.conversations.summaries."""
    summaries.summarise(conversation_id, fallen)


@bot_task
def tend_gaps() -> None:
    """Group the questions that were not answered, and ask the gaps again whose article has changed, for some seconds.

    With a model a gap takes seconds; those that are left are due at the next time.
    """
    grouping.group_new()
    give_up_at = time.monotonic() + _SLICE_S
    for gap_pk in decisions.due_gaps(_MOST_GAPS):
        if time.monotonic() > give_up_at:
            return
        asking.ask_gap(gap_pk)


@bot_task
def ask_gap(gap_pk: int, is_forced: bool = False) -> None:
    """Ask a gap's questions again; a task that is delivered twice finds the gap locked, or asked."""
    asking.ask_gap(gap_pk, is_forced=is_forced)
