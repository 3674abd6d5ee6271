"""What is done with an event: the features it triggers, and what the rooms above registered."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from features import registry
from features.compute import run_function
from features.events import AxiomEvent
from features.models import Event, FeatureValue
from features.registry import FeatureSpec
from features.serving import operator_settings
from features.values import StoredValue
from features.writes import put_online, write_values

Handle = Callable[[Event], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class Handler:
    name: str
    handle: Handle
    """Returns JSON that says what it changed."""


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


async def handlers_of(event: Event) -> list[Handler]:
    """Return the handlers of an event: its features that are switched on, then the built-in ones."""
    rows = await operator_settings.rows()
    triggered = [spec for spec in registry.features.values() if spec.trigger == event.event_type]
    enabled = [spec for spec in triggered if rows.get(spec.name, {}).get("is_enabled", True)]
    return [_feature_handler(spec) for spec in enabled] + list(_builtin_handlers(event, bool(enabled)))


def _builtin_handlers(event: Event, is_taken: bool) -> Iterator[Handler]:
    for each in _builtin:
        if each.event_type == event.event_type and not (is_taken and each.stands_back(event)):
            yield Handler(name=each.name, handle=each.handle)


def _feature_handler(spec: FeatureSpec) -> Handler:
    async def handle(event: Event) -> dict[str, Any]:
        known = await FeatureValue.objects.filter(event=event, feature=spec.name).afirst()
        if known is not None:  # written by a worker that died before it could say so
            await put_online(spec.entity.name, spec.name, {event.entity_id: StoredValue.of_row(known)})
            return {"feature": spec.name, "value_id": known.pk}
        value = await run_function(spec, event.entity_id, as_axiom_event(event))
        stored = await write_values(
            spec,
            {event.entity_id: value},
            event_timestamp=event.occurred_at,
            source=FeatureValue.Source.EVENT,
            event_id=event.pk,
        )
        return {"feature": spec.name, "value_id": stored[event.entity_id].value_id}

    return Handler(name=f"feature:{spec.name}", handle=handle)


def as_axiom_event(event: Event) -> AxiomEvent:
    return AxiomEvent(
        event_type=event.event_type,
        entity_id=event.entity_id,
        payload=event.payload,
        id=event.event_id,
        occurred_at=event.occurred_at,
    )
