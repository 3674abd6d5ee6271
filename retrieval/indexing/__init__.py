"""Indexing: split documents into chunks, embed them, and commit them as versions."""
