"""Retrievers: functions declared with `@retriever`, and the cache of their results."""
