"""Index documents again: from their failed events, from the version that is served, or from an older version."""

from collections.abc import Iterable

from common.clocks import is_reached
from events.models import Event
from retrieval.event_handlers import publish_again, replay
from retrieval.indexing.documents import RETRY_MAX
from retrieval.models import Document, DocumentVersion

_MAX_RETRIES = 100


def reindex_all(documents: Iterable[Document], author: str = "") -> int:
    """Have each live document split and embedded again; return how many."""
    return sum(publish_again(document, sender=author) for document in documents if document.deleted_at is None)


def roll_back(version: DocumentVersion, author: str = "") -> None:
    """Restore the document's content from `version`, as a new version; a deleted document is restored too."""
    document = version.document
    document.title, document.text, document.metadata = version.title, version.text, version.metadata
    document.audience, document.deleted_at, document.saved_by = version.audience, None, author
    document.save(update_fields=["title", "text", "metadata", "audience", "deleted_at", "updated_at"])


def retry_failed() -> int:
    """Replay changes that failed for good and are due for a retry; return how many."""
    due = Document.objects.live().filter(
        is_reached("retry_at", longest=RETRY_MAX), state=Document.State.FAILED, failed_event__state=Event.State.DEAD
    )
    return replay(due.order_by("retry_at")[:_MAX_RETRIES])
