"""Background tasks of the chat."""

from datetime import timedelta

from asgiref.sync import async_to_sync
from axes.handlers.proxy import AxesProxyHandler
from celery import shared_task
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from chat.handover import unanswered
from chat.models import CountedRequest

_LONGEST_WINDOW = timedelta(days=1)


@shared_task
def clear_old() -> None:
    """Delete sessions that have expired, records of sign-ins past their retention, and counts of former outages."""
    call_command("clearsessions")
    AxesProxyHandler.reset_logs(age_days=settings.FABRA_SIGN_IN_RETENTION_DAYS)
    AxesProxyHandler.reset_failure_logs(age_days=settings.FABRA_SIGN_IN_RETENTION_DAYS)
    CountedRequest.objects.filter(created_at__lt=timezone.now() - _LONGEST_WINDOW).delete()


@shared_task
def answer_unanswered(conversation_id: int) -> None:
    """Have the bot answer a customer's message that a person left to it; a second task finds it answered."""
    async_to_sync(unanswered.answer_last)(conversation_id)


@shared_task
def sweep_conversations() -> None:
    """Take back what people left unanswered, and have the bot answer it."""
    unanswered.take_back()
    unanswered.enqueue_forgotten()
