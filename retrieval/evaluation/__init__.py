"""Evaluation: measure retrieval on public collections and on an index's own golden questions."""
