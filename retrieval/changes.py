"""The documents that changed since a time, for copies that follow an index."""

from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q

from retrieval.models.documents import DocumentQuerySet

_MARGIN = timedelta(seconds=5)
"""By which the clocks of the processes that write may differ from PostgreSQL's."""
_HORIZON = """
SELECT coalesce(min(xact_start), clock_timestamp()) FROM pg_stat_activity
WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
"""


def complete_until() -> datetime:
    """Return the time before which no change can appear any more.

    A row's `updated_at` is taken in its transaction and seen after its commit. So what is not older than the oldest
    transaction that is writing is not listed yet, or a reader that goes on from there would miss a row for good.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HORIZON)
        moment: datetime = cursor.fetchone()[0]
    return moment - _MARGIN


def changed_after(documents: DocumentQuerySet, position: tuple[datetime, int], until: datetime) -> DocumentQuerySet:
    """Return the documents behind a position and before `until`, the longest unchanged first, deleted ones too."""
    moment, pk = position
    behind = Q(updated_at__gt=moment) | Q(updated_at=moment, pk__gt=pk)
    return documents.filter(behind, updated_at__gte=moment, updated_at__lt=until).order_by("updated_at", "pk")
