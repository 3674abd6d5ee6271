"""Recent queries to an index, from sources that higher apps register: retrieval itself stores none."""

from collections.abc import Callable

from common.definitions import add_once

QuerySource = Callable[[int, int], list[str]]

_sources: list[QuerySource] = []


def register_query_source(function: QuerySource) -> None:
    """Register `function(index_id, limit)`, which returns the newest queries to an index."""
    add_once(_sources, function)


def recent_queries(index_id: int, limit: int) -> list[str]:
    """Return the newest queries to an index, without repetitions."""
    found = [query for source in _sources for query in source(index_id, limit)]
    return list(dict.fromkeys(found))[:limit]
