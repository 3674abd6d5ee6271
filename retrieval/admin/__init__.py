"""The admin pages of retrieval."""

from retrieval.admin import chunks, documents, evaluation_runs, generations, golden, indexes, ingestion, versions

__all__ = ["chunks", "documents", "evaluation_runs", "generations", "golden", "indexes", "ingestion", "versions"]
