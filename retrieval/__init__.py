"""Retrieval: indexes of documents, hybrid search over their chunks, and retrievers."""
