"""Index documents again from their rows and versions, by the way that a save takes."""

from collections.abc import Iterable

from django.utils import timezone

from retrieval.handlers import publish_document
from retrieval.models import Document, DocumentVersion

_RETRIED_AT_ONCE = 100


def publish_again(documents: Iterable[Document], author: str = "") -> int:
    """Have each live document split and embedded anew; return how many."""
    count = 0
    for document in documents:
        if document.deleted_at is None:
            publish_document(document, force=True, sender=author)
            count += 1
    return count


def roll_back(version: DocumentVersion, author: str = "") -> None:
    """Make the document say again what it said in `version`; a deleted one comes back. A new version comes of it."""
    document = version.document
    document.title, document.text, document.metadata = version.title, version.text, version.metadata
    document.audience, document.deleted_at, document.saved_by = version.audience, None, author
    document.save(update_fields=["title", "text", "metadata", "audience", "deleted_at", "updated_at"])


def retry_failed() -> int:
    """Publish the documents again whose indexing failed and is due to be tried again; return how many."""
    due = Document.objects.live().filter(state=Document.State.FAILED, retry_at__lte=timezone.now())
    count = 0
    for document in due.select_related("index").order_by("retry_at")[:_RETRIED_AT_ONCE]:
        publish_document(document)
        count += 1
    return count
