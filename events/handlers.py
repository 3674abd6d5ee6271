"""Handlers of events, registered by the apps that depend on this one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Model

from common.definitions import add_once
from events.models import Event


@dataclass(frozen=True, kw_only=True)
class Handler:
    """A function, synchronous or async, that is called with an Event, and how to run it.

    It returns JSON that says what it did, or None. In a dict, `superseded: true` says that a later state was stored
    already; `changed` lists rows, see `changed_row`; `steps` lists moments for the event's page, each with `name`,
    `at` (ISO 8601) and `note`; `effect` is the page's word for the state being in effect.
    """

    name: str
    handle: Callable[[Event], Any]
    applies_state: bool = False
    """It sets the state to what the event says: in order, one event at a time, and never to an older one."""
    handle_superseded: Callable[[Event], Any] | None = None
    """For a handler that applies the state: called in place of `handle` for an event that a later one superseded."""
    is_default: bool = False
    """It is used only if no other handler exists for the event."""
    reads_current: bool = False
    """It sets the state to what it finds when it runs, whatever the event says.

    So it runs for an event that a later one superseded too: the earlier one may have been committed after the later
    one's handler looked.
    """


HandlerSource = Callable[[Event], Sequence[Handler]]

_sources: list[HandlerSource] = []
_observers: list[HandlerSource] = []


def register_handlers(source: HandlerSource) -> None:
    """Register a function that returns the handlers of an event."""
    add_once(_sources, source)


def register_observers(source: HandlerSource) -> None:
    """Register a function that returns handlers that only tell others of an event.

    They run for every event and set no state, and no default handler stands aside for them.
    """
    add_once(_observers, source)


@dataclass(frozen=True, kw_only=True)
class Handlers:
    """The handlers of one event."""

    of_state: Sequence[Handler]
    """They run under the state's lock, while no other worker changes the state."""
    of_event: Sequence[Handler]
    """They run for every event, concurrently with those of other events about the same state."""


def handlers_of(event: Event) -> Handlers:
    """Return an event's handlers; if none applies the state, the others run under its lock."""
    found = [handler for source in _sources for handler in source(event)]
    others = [handler for handler in found if not handler.applies_state]
    of_state = [handler for handler in found if handler.applies_state and not (handler.is_default and others)]
    observers = [handler for source in _observers for handler in source(event)]
    if event.state_key and not of_state:
        return Handlers(of_state=others, of_event=observers)
    return Handlers(of_state=of_state, of_event=[*others, *observers])


def notice_of(event: Event) -> str:
    """Return what to tell the sender of an event that no handler takes, as one whose type is mistyped; else ""."""
    is_waiting = event.state in (Event.State.RECEIVED, Event.State.RETRYING)
    sources = (*_sources, *_observers)
    if event.state == Event.State.UNHANDLED or (is_waiting and not any(source(event) for source in sources)):
        return f"No handler takes {event.event_type!r}: it is kept, and nothing else happens. Is the type right?"
    return ""


@dataclass(frozen=True, kw_only=True)
class Handling:
    """The state event that is being handled, and the timestamp of what its handlers store."""

    event: Event
    as_of: datetime


# A context variable, because a handler may be a user's function, whose calls of the store do not pass the event on.
_handling: ContextVar[Handling | None] = ContextVar("handling", default=None)


def current_handling() -> Handling | None:
    """Return the state event that is being handled in this context, if any."""
    return _handling.get()


@contextmanager
def handling(event: Event, *, is_superseded: bool) -> Iterator[None]:
    """Give what is stored in the block the event's time.

    A superseded event gets one microsecond less, so that of two events at one time the superseded one is older.
    """
    as_of = event.occurred_at - timedelta(microseconds=int(is_superseded))
    token = _handling.set(Handling(event=event, as_of=as_of) if event.state_key else None)
    try:
        yield
    finally:
        _handling.reset(token)


def changed_row(model: type[Model], pk: int | None, text: str) -> dict[str, Any]:
    """Return an entry of a handler's `changed` list: a row that the event's page links to."""
    return {"model": model._meta.label_lower, "pk": pk, "text": text}
