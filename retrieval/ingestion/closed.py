"""Withdraw what a file has closed to some who find it, where it could not be indexed anew.

A document whose new state is refused stays as it was. A text that its file has closed since must not, nor one of which
it is not known any more who may read it: others would find it by its old audience.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from retrieval.indexing.documents import delete_documents
from retrieval.models import SourceDocument, SourceFile
from retrieval.search.filters import is_open_beyond

Refused = dict[str, Sequence[str] | None]
"""Who may read each document that was refused, by its id; None: it is not known."""


def readers_of(audience: Any) -> Sequence[str] | None:
    """Return the names of an audience as a file gives it, some of which may be none; None for what is no list."""
    is_list = isinstance(audience, list) and all(isinstance(name, str) for name in audience)
    return audience if is_list else None


def open_documents(documents: QuerySet[SourceDocument], refused: Refused) -> list[str]:
    """Return the ids of the served documents that others find than may read them."""
    served = documents.filter(document__entity_id__in=refused)
    found = served.values_list("document__entity_id", "document__version__audience")
    return [entity_id for entity_id, audience in found if is_open_beyond(audience, refused[entity_id])]


def unread(documents: QuerySet[SourceDocument], read: set[str]) -> Refused:
    """Return the served documents of a file of which only these were read, as it names an audience that is unclear."""
    return dict.fromkeys(set(documents.values_list("document__entity_id", flat=True)) - read)


def withdraw_open(file: SourceFile, refused: Refused, moment: datetime) -> int:
    """Delete those of a file's documents that others find than may read them; return how many.

    What was changed by other means since, or is in a later state than that of the moment, stays.
    """
    ids = open_documents(file.documents.as_served(), refused) if refused else []
    return len(delete_documents(file.index.name, ids, occurred_at=moment).deleted) if ids else 0


def told(count: int) -> str:
    """Return what a file's row says of documents that were withdrawn."""
    documents = "1 document" if count == 1 else f"{count:,} documents"
    return f"; {documents} withdrawn, found until now by others than may read it" if count else ""


def left_as_they_were(count: int) -> str:
    """Return what a file's row says of documents that it had before, and of which it is not known what it says now."""
    if count == 1:
        return "; 1 document that it had was not read, and is found as before"
    return f"; {count:,} documents that it had were not read, and are found as before" if count else ""
