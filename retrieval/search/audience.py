"""The audience of searches that name none: that of the user for whom a context is assembled."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property

from retrieval.search.filters import AUDIENCE_MAX_CHARS, EVERYONE, MAX_AUDIENCE, Audience

logger = logging.getLogger(__name__)


class DefaultAudience:
    """The names of an audience, which are looked up once, by the first search that needs them."""

    def __init__(self, find: Callable[[], Iterable[str]]) -> None:
        self._find = find

    @cached_property
    def names(self) -> list[str]:
        """The names that a document's audience may have, sorted; those that it cannot have find nothing."""
        found = sorted({name for name in self._find() if name.strip() and len(name) <= AUDIENCE_MAX_CHARS} - {EVERYONE})
        if len(found) > MAX_AUDIENCE:
            logger.warning("An audience has %d names; a search takes the first %d.", len(found), MAX_AUDIENCE)
        return found[:MAX_AUDIENCE]


# A context variable, because a user's function does not pass the audience on to the searches that it makes.
_default: ContextVar[DefaultAudience | None] = ContextVar("default_audience", default=None)


@contextmanager
def searching_for(find: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Have the searches of the block that name no audience use the names that `find` returns; it may use the ORM."""
    token = _default.set(DefaultAudience(find))
    try:
        yield
    finally:
        _default.reset(token)


def has_default_audience() -> bool:
    return _default.get() is not None


def default_names() -> list[str]:
    """Return the names of the default audience, or none; it may use the ORM."""
    default = _default.get()
    return default.names if default else []


def completed(audience: Audience) -> Audience:
    """Return the audience of a search: as it is named, also if it is empty, else the default one."""
    return default_names() if audience is None else audience
