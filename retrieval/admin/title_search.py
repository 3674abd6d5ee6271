"""Search lists of documents, and of their versions, by id and by title."""

from typing import Any

from common.sql.words import has_words
from retrieval.models import Document


def search_titled(rows: Any, term: str, id_column: str) -> tuple[Any, bool]:
    """Return the rows of a document whose whole id is `term`, or else those with its words in their title; and False.

    Each is served by an index of its own; both at once would read the table.
    """
    term = term.strip()
    if not term:
        return rows, False
    if Document.objects.filter(entity_id=term).exists():
        return rows.filter(**{id_column: term}), False
    return rows.filter(has_words("title", term)), False
