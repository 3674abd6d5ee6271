"""The audience of searches that name none: that of the user for whom a context is assembled."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property

from common.definitions import add_once
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


_FindNames = Callable[[str], Iterable[str]]
_finders: list[_FindNames] = []


def register_audiences(find: _FindNames) -> None:
    """Register the function that returns the names of a user's audience by their id; it may use the ORM."""
    add_once(_finders, find)


def audiences_of_user(user_id: str) -> list[str]:
    """Return the names that a user's searches have in contexts; none where nothing is registered."""
    return [name for find in _finders for name in find(user_id)]


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


def with_default_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names, then those of the default audience, as far as a search takes so many; it may use the ORM."""
    return tuple(dict.fromkeys([*names, *default_names()]))[:MAX_AUDIENCE]


def completed(audience: Audience) -> Audience:
    """Return the audience of a search: as it is named, also if it is empty, else the default one."""
    return default_names() if audience is None else audience
