"""Index documents again from their rows, by the way that a save takes."""

from collections.abc import Iterable

from retrieval.handlers import publish_document
from retrieval.models import Document


def publish_again(documents: Iterable[Document]) -> int:
    """Have each live document split and embedded anew; return how many."""
    count = 0
    for document in documents:
        if document.deleted_at is None:
            publish_document(document, force=True)
            count += 1
    return count
