"""Index documents again: from the events that failed, from what they serve, and from their versions."""

from collections.abc import Iterable

from django.utils import timezone

from events.models import Event
from retrieval.event_handlers import publish_again, replay
from retrieval.models import Document, DocumentVersion

_RETRIED_AT_ONCE = 100


def reindex_all(documents: Iterable[Document], author: str = "") -> int:
    """Have each live document split and embedded anew; return how many."""
    return sum(publish_again(each, sender=author) for each in documents if each.deleted_at is None)


def roll_back(version: DocumentVersion, author: str = "") -> None:
    """Make the document say again what it said in `version`; a deleted one comes back. A new version comes of it."""
    document = version.document
    document.title, document.text, document.metadata = version.title, version.text, version.metadata
    document.audience, document.deleted_at, document.saved_by = version.audience, None, author
    document.save(update_fields=["title", "text", "metadata", "audience", "deleted_at", "updated_at"])


def retry_failed() -> int:
    """Replay the changes whose indexing failed, was given up, and is due to be tried again; return how many."""
    due = Document.objects.live().filter(
        state=Document.State.FAILED, retry_at__lte=timezone.now(), failed_event__state=Event.State.DEAD
    )
    return replay(due.order_by("retry_at")[:_RETRIED_AT_ONCE])
