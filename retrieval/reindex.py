"""Index documents again from their rows, by the way that a save takes."""

from collections.abc import Iterable

from retrieval.handlers import publish_saved
from retrieval.models import Document


def publish_again(documents: Iterable[Document]) -> int:
    """Publish `doc_updated` for each live document; return how many.

    What is already served as it stands is found unchanged, and keeps its chunks.
    """
    count = 0
    for document in documents:
        if document.deleted_at is None:
            publish_saved(document)
            count += 1
    return count
