"""The admin of retrieval."""

from retrieval.admin import chunks, documents, indexes

__all__ = ["chunks", "documents", "indexes"]
