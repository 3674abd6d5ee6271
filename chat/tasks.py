"""Background tasks of the chat."""

from datetime import timedelta

from axes.handlers.proxy import AxesProxyHandler
from celery import shared_task
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from chat import summaries
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
def summarise(conversation_id: int, fallen: int) -> None:
    """Summarise the turns of a conversation that are no longer offered; see chat.summaries."""
    summaries.summarise(conversation_id, fallen)
