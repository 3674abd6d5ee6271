"""Turn changes of a source's rows, and of what they depend on, into events, in the transaction that changes them."""

import logging
from collections.abc import Collection, Iterator, Sequence
from functools import partial

from common.errors import FabraError, InvalidInput
from common.model_changes import AT_ONCE, Follower, Watch, follow, register_followers
from common.validation import check_identity
from events.event import AxiomEvent
from events.models import Event
from events.ordering import register_family, state_key
from events.outbox import record_events
from features.querysets.outdated import ALL, FEATURE, OUTDATED, scope_of
from features.registry import FeatureSpec, features

logger = logging.getLogger(__name__)


def connect() -> None:
    """Register the events' family, and follow the sources of all features."""
    register_family(OUTDATED, scope_of, is_urgent=False)
    register_followers(_followers)


def follow_source(spec: FeatureSpec) -> None:
    """Follow the changes of a feature's source from now on."""
    follow(_follower(spec))


def _followers() -> Iterator[Follower]:
    return (_follower(spec) for spec in features.values() if spec.queryset is not None)


def _follower(spec: FeatureSpec) -> Follower:
    source = spec.queryset
    assert source is not None
    # Whether a row is in the queryset may depend on a watched row's columns: both are asked, before and after.
    watches = [Watch(model=watch.model, lookups=watch.lookups) for watch in source.watches]
    return Follower(
        name=f"feature {spec.name}",
        rows=source.queryset,
        watches=(Watch(model=source.model, lookups=("pk",)), *watches),
        column=source.key,
        changed=partial(publish, spec),
        changed_all=partial(publish_all, spec),
    )


def publish(spec: FeatureSpec, keys: Collection[str]) -> None:
    """Record that the values of these keys are outdated; of more than AT_ONCE, that all are."""
    if len(keys) > AT_ONCE:
        publish_all(spec)
        return
    events = []
    for key in sorted(keys):
        try:
            entity_id = check_identity(key, spec.entity.key)
        except InvalidInput:
            continue  # no request could name it either
        events.append(AxiomEvent(event_type=OUTDATED, entity_id=entity_id, payload={FEATURE: spec.name}))
    _record(events)


def publish_all(spec: FeatureSpec) -> None:
    """Record that all values of the feature may be outdated: its next materialisation begins soon."""
    payload = {FEATURE: spec.name, ALL: True}
    _record([AxiomEvent(event_type=OUTDATED, entity_id=spec.name, payload=payload)])


def _record(events: Sequence[AxiomEvent]) -> None:
    """Record the events that the caller's transaction has not recorded yet: a loop of saves makes one of a key."""
    keys = {state_key(event.event_type, event.entity_id, event.payload): event for event in events}
    known = Event.objects.of_this_transaction().filter(state_key__in=keys, state=Event.State.RECEIVED)
    for recorded in known.values_list("state_key", flat=True):
        keys.pop(recorded, None)
    for result in record_events(list(keys.values()), Event.Source.SIGNAL) if keys else ():
        if isinstance(result, FabraError):
            logger.warning("A change was not recorded: %s", result)
