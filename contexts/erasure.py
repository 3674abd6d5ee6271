"""Erase traces whose text is taken back: the rows at once, their copies in Redis until none is left."""

import uuid
from collections.abc import Collection
from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from common.clocks import is_past
from common.redis import plain_redis
from contexts.models import ErasedTrace, Trace
from features.online import plain_key

_AT_ONCE = 1000
_WATCHED_FOR = timedelta(minutes=1)
"""A copy that was on its way when its trace was erased has arrived by then."""


def erase_traces(traces: QuerySet[Trace]) -> list[uuid.UUID]:
    """Delete traces with their bodies, and note whose copies are to be erased; call it in a transaction.

    `erase_fast_copies` of the ids follows its commit; the sweep goes on with it after an outage.
    """
    ids = list(traces.values_list("pk", flat=True))
    now = timezone.now()
    ErasedTrace.objects.bulk_create([ErasedTrace(pk=pk, erased_at=now) for pk in ids], ignore_conflicts=True)
    Trace.objects.filter(pk__in=ids).delete()
    return ids


def erase_fast_copies(ids: Collection[uuid.UUID]) -> None:
    """Delete the copies of traces in Redis; raise one of REDIS_ERRORS."""
    if ids:
        plain_redis(settings.FABRA_REDIS_TIMEOUT_S).delete(*(plain_key(f"trace:{pk}") for pk in ids))


def sweep_fast_copies() -> int:
    """Erase the copies that an outage left, or that arrived after the erasure; return how many traces are done."""
    due = ErasedTrace.objects.filter(is_past("erased_at", since=_WATCHED_FOR))
    done = 0
    while ids := list(due.values_list("pk", flat=True)[:_AT_ONCE]):
        erase_fast_copies(ids)
        ErasedTrace.objects.filter(pk__in=ids).delete()
        done += len(ids)
    return done
