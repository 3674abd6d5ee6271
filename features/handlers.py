"""What is done with an event: the features it triggers, and what the rooms above registered."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Model

from features import registry
from features.compute import run_function
from features.events import AxiomEvent
from features.models import Event, FeatureValue
from features.registry import FeatureSpec
from features.serving import operator_settings
from features.values import StoredValue
from features.writes import put_online, write_values

Handle = Callable[[Event], Awaitable[Any]]


_state_moment: ContextVar[datetime | None] = ContextVar("state_moment", default=None)
_handled_event: ContextVar[Event | None] = ContextVar("handled_event", default=None)


def state_moment() -> datetime | None:
    """Return the time of the state event that is being handled here: what a handler stores is as old as that."""
    return _state_moment.get()


def handled_event() -> Event | None:
    """Return the state event that is being handled here."""
    return _handled_event.get()


@contextmanager
def state_moment_of(event: Event, is_superseded: bool) -> Iterator[None]:
    # Of two events at one time the one that lost counts as the older.
    moment = event.occurred_at - timedelta(microseconds=int(is_superseded))
    token = _state_moment.set(moment if event.state_key else None)
    event_token = _handled_event.set(event if event.state_key else None)
    try:
        yield
    finally:
        _handled_event.reset(event_token)
        _state_moment.reset(token)


@dataclass(frozen=True, kw_only=True)
class Handler:
    name: str
    handle: Handle
    """Returns JSON that says what it changed; `superseded` in it says that a later state was there already."""
    heeds_order: bool = False
    """It runs for an event that a later one has superseded, too, and takes nothing newer back."""


@dataclass(frozen=True, kw_only=True)
class BuiltinHandler:
    """A handler for an event type that no declared feature may have taken over."""

    event_type: str
    name: str
    handle: Handle
    stands_back: Callable[[Event], bool]
    """Whether it leaves this event to a declared feature, where one has the event type as its trigger."""


_builtin: list[BuiltinHandler] = []


def register_handler(event_type: str, name: str, handle: Handle, *, stands_back: Callable[[Event], bool]) -> None:
    _builtin.append(BuiltinHandler(event_type=event_type, name=name, handle=handle, stands_back=stands_back))


@dataclass(frozen=True, kw_only=True)
class Handlers:
    """What is done with one event."""

    of_state: Sequence[Handler]
    """They make the state what the event says: in order, one event at a time, and never an older one."""
    of_event: Sequence[Handler]
    """Triggered features: they run for every event, beside each other."""


async def handlers_of(event: Event) -> Handlers:
    """Return an event's handlers: the built-in ones, and its features that are switched on.

    A feature that takes a built-in handler's place takes its care for the state, too.
    """
    rows = await operator_settings.rows()
    triggered = [spec for spec in registry.features.values() if spec.trigger == event.event_type]
    features = [_feature_handler(spec) for spec in triggered if rows.get(spec.name, {}).get("is_enabled", True)]
    builtin = list(_builtin_handlers(event, bool(features)))
    if event.state_key and not builtin:
        return Handlers(of_state=features, of_event=[])
    return Handlers(of_state=builtin, of_event=features)


def _builtin_handlers(event: Event, is_taken: bool) -> Iterator[Handler]:
    for each in _builtin:
        if each.event_type == event.event_type and not (is_taken and each.stands_back(event)):
            yield Handler(name=each.name, handle=each.handle)


def _feature_handler(spec: FeatureSpec) -> Handler:
    async def handle(event: Event) -> dict[str, Any]:
        known = await FeatureValue.objects.filter(event=event, feature=spec.name).afirst()
        if known is not None:  # written by a worker that died before it could say so
            await put_online(spec.entity.name, spec.name, {event.entity_id: StoredValue.of_row(known)})
            return {"changed": [change(FeatureValue, known.pk, spec.name)]}
        value = await run_function(spec, event.entity_id, as_axiom_event(event))
        stored = await write_values(
            spec,
            {event.entity_id: value},
            event_timestamp=event.occurred_at,
            source=FeatureValue.Source.EVENT,
            event_id=event.pk,
        )
        return {"changed": [change(FeatureValue, stored[event.entity_id].value_id, spec.name)]}

    return Handler(name=f"feature:{spec.name}", handle=handle, heeds_order=True)


def change(model: type[Model], pk: int | None, text: str) -> dict[str, Any]:
    """Return how a handler tells of a row that it changed, for the event's page to link to."""
    return {"model": model._meta.label_lower, "pk": pk, "text": text}


def as_axiom_event(event: Event) -> AxiomEvent:
    return AxiomEvent(
        event_type=event.event_type,
        entity_id=event.entity_id,
        payload=event.payload,
        id=event.event_id,
        occurred_at=event.occurred_at,
    )
