"""Questions that were asked of an index: the rooms above remember them, since this one keeps none."""

from collections.abc import Callable

Source = Callable[[int, int], list[str]]

_sources: list[Source] = []


def remembers_queries(function: Source) -> None:
    """Take `function(index_id, limit)` for a source of the newest questions."""
    _sources.append(function)


def recent_queries(index_id: int, limit: int) -> list[str]:
    """Return the newest questions to an index, each once."""
    found = [query for source in _sources for query in source(index_id, limit)]
    return list(dict.fromkeys(found))[:limit]
