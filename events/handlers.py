"""What is done with an event: the handlers that the apps above have registered for it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Model

from events.models import Event


@dataclass(frozen=True, kw_only=True)
class Handler:
    """A function that is called with an Event, plain or async, and what it is for.

    It returns JSON that says what it did, or None. In a dict, `superseded: true` says that a later state was there
    already; `changed` lists rows, see `changed_row`; `steps` lists moments for the event's page, each with `name`,
    `at` (ISO 8601) and `note`; `effect` is the word for the state being in effect.
    """

    name: str
    handle: Callable[[Event], Any]
    applies_state: bool = False
    """It makes the state what the event says: in order, one event at a time, and never an older one."""
    is_default: bool = False
    """It leaves the event to the other handlers where there are any."""


HandlerSource = Callable[[Event], Sequence[Handler]]

_sources: list[HandlerSource] = []


def register_handlers(source: HandlerSource) -> None:
    """Ask `source` for its handlers of each event."""
    _sources.append(source)


@dataclass(frozen=True, kw_only=True)
class Handlers:
    """What is done with one event."""

    of_state: Sequence[Handler]
    """They run while nobody else changes the state."""
    of_event: Sequence[Handler]
    """They run for every event, beside those of other events about the same state."""


def handlers_of(event: Event) -> Handlers:
    """Return an event's handlers; without one that applies the state, the others take care of it."""
    found = [handler for source in _sources for handler in source(event)]
    others = [handler for handler in found if not handler.applies_state]
    of_state = [handler for handler in found if handler.applies_state and not (handler.is_default and others)]
    if event.state_key and not of_state:
        return Handlers(of_state=others, of_event=[])
    return Handlers(of_state=of_state, of_event=others)


@dataclass(frozen=True, kw_only=True)
class Handling:
    """The state event that is being handled, and the time of what is stored meanwhile."""

    event: Event
    as_of: datetime


# A handler may be a user's function, whose calls of the store cannot be given the event as an argument.
_handling: ContextVar[Handling | None] = ContextVar("handling", default=None)


def current_handling() -> Handling | None:
    """Return the state event that is being handled here, if there is one."""
    return _handling.get()


@contextmanager
def handling(event: Event, *, is_superseded: bool) -> Iterator[None]:
    """Let what is stored within the block be as old as the event; of two at one time the one that lost is older."""
    as_of = event.occurred_at - timedelta(microseconds=int(is_superseded))
    token = _handling.set(Handling(event=event, as_of=as_of) if event.state_key else None)
    try:
        yield
    finally:
        _handling.reset(token)


def changed_row(model: type[Model], pk: int | None, text: str) -> dict[str, Any]:
    """Return how a handler says that it changed a row, for the event's page to link to."""
    return {"model": model._meta.label_lower, "pk": pk, "text": text}
