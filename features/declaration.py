"""Declare a class as an entity, and a function as a feature."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import wraps
from typing import Any

from django.conf import settings

from common.definitions import Location
from common.durations import Duration, parse_duration
from common.errors import DefinitionError
from features.freshness import Limits
from features.querysets.changes import follow_source
from features.querysets.source import QuerysetSource, queryset_source
from features.registry import (
    ASYNC_CONCURRENCY,
    BATCH_SIZE,
    TOKEN,
    UNSET,
    EntitySpec,
    FeatureSpec,
    entities,
    features,
)
from features.value_types import InvalidFeatureValue, ValueType


def entity(store: Any = None, *, name: str | None = None, keys: Any = None) -> Callable[[type], type]:
    """Declare a class as an entity; its first annotated field is the entity key. Raise DefinitionError without one.

    `keys` lists the keys of all entities, which are known then: a queryset of one column, an iterable, or a function
    that returns one. It is read anew for each materialisation.
    """

    def declare(cls: type) -> type:
        fields = list(inspect.get_annotations(cls))
        if not fields:
            raise DefinitionError(f"The entity {cls.__name__} has no field; give it its key, as in `user_id: str`.")
        doc = cls.__dict__.get("__doc__")
        spec = EntitySpec(
            name=name or cls.__name__,
            key=fields[0],
            description=inspect.cleandoc(doc) if doc else "",
            location=Location.of(cls),
            keys=_checked_keys(keys, cls),
        )
        entities.add(spec.name, spec)
        cls.__fabra_entity__ = spec  # type: ignore[attr-defined]
        return cls

    return declare


def _checked_keys(keys: Any, cls: type) -> Any:
    if keys is None or callable(keys) or (isinstance(keys, Iterable) and not isinstance(keys, str | bytes)):
        return keys
    raise DefinitionError(f"keys of the entity {cls.__name__} must be a queryset, a list or a function, not {keys!r}.")


def feature(
    *,
    entity: type | str,
    refresh: Duration | None = None,
    ttl: Duration | None = None,
    materialize: bool = False,
    trigger: str | None = None,
    source: Any = None,
    key: str | None = None,
    watches: Sequence[Any] = (),
    stale_tolerance: Duration | None = None,
    default_value: Any = UNSET,
    batch: bool = False,
    batch_size: int | None = None,
    concurrency: int | None = None,
    name: str | None = None,
    description: str | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a function as a feature: `f(entity_key)`, or `f(entity_key, event)` with a trigger.

    With `source="token"` it is `f(entity_key, trait)`: it gets what a signed token says of the user under the
    feature's name, and returns the value.

    With a queryset or manager as `source` it is `f(rows)`: it gets the rows of the keys asked for, and returns them
    with the annotation `value`. `key` is the column with the entity keys (default: the entity's field), and `watches`
    the other models that the value depends on, each alone or with a lookup from the source's model, as in
    `(Payment, "invoices__payments")`. See `features.querysets`.

    With `batch` it is `f(entity_keys)`, called with at most `batch_size` keys (default 500), and returns a dict
    of values by key, or a list with one value for each key in their order. A function with a parameter `as_of`
    gets the moment at which its value must be true, and can be backfilled. It may be async or plain.
    `concurrency` is how many calls a materialisation makes at once: 16 for an async function, else 1; a plain
    one gets that many threads, each with a database connection. With neither `refresh`, `ttl`, `trigger` nor `source`
    a value is fresh for FABRA_DEFAULT_REFRESH (an hour). The return annotation is the type of the values: see
    `features.value_types`. Raise DefinitionError for arguments that cannot work together.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        label = name or function.__name__
        if trigger and materialize:
            raise DefinitionError(f"The feature {label!r} has a trigger: events update it, so it cannot materialize.")
        of_entity = _resolve_entity(entity, label)
        rows = None
        if source is None or isinstance(source, str):
            _check_source(source, trigger, label, is_computed=materialize or batch or batch_size is not None)
            _check_unused(label, key=key, watches=watches)
        else:
            rows = _queryset_source(source, key or of_entity.key, watches, label, function, trigger, is_batch=batch)
        size = _batch_size(batch or rows is not None, batch_size, trigger, label)
        _check_count(concurrency, f"concurrency of {label!r}")
        said = None if rows else source
        limits = _limits(label, refresh, ttl, stale_tolerance, materialize=materialize, is_given=bool(trigger or said))
        takes_event, takes_as_of = _parameters(function, label, trigger, said, _KEYS[bool(rows), batch])
        is_parallel = inspect.iscoroutinefunction(function) and not batch
        spec = FeatureSpec(
            name=label,
            entity=of_entity,
            function=_annotating(function, rows, label) if rows else function,
            refresh=limits.refresh,
            ttl=limits.ttl,
            stale_tolerance=limits.stale_tolerance,
            materialize=materialize,
            trigger=trigger,
            source=said,
            queryset=rows,
            takes_event=takes_event,
            takes_as_of=takes_as_of,
            batch_size=size,
            concurrency=concurrency or (ASYNC_CONCURRENCY if is_parallel else 1),
            default_value=default_value,
            description=description or inspect.getdoc(function) or "",
            location=Location.of(function),
        )
        _check_default(spec)
        features.add(label, spec)
        if rows:
            follow_source(spec)
        function.__fabra_feature__ = spec  # type: ignore[attr-defined]
        return function

    return declare


_KEYS = {
    (False, False): "entity_key",
    (False, True): "entity_keys",
    (True, False): "rows",
}
"""What a function is called with, by whether its source is a queryset, and whether it takes a batch."""


def _queryset_source(
    source: Any, key: str, watches: Sequence[Any], label: str, function: Any, trigger: str | None, *, is_batch: bool
) -> QuerysetSource:
    if trigger:
        raise DefinitionError(f"The feature {label!r} has a queryset as its source: it takes no trigger, but watches.")
    if is_batch:
        raise DefinitionError(f"The feature {label!r} has a queryset as its source, which takes many keys by itself.")
    if inspect.iscoroutinefunction(function):
        raise DefinitionError(f"{label!r} must be a plain function: it returns a queryset, and does not wait for it.")
    return queryset_source(source, key, watches, repr(label))


def _annotating(function: Callable[..., Any], rows: QuerysetSource, label: str) -> Callable[..., Any]:
    """Return the function of many keys that runs the query of a function of rows."""

    @wraps(function)
    def values(entity_keys: list[str], **named: Any) -> dict[str, Any]:
        return rows.values_of(function, label, entity_keys, **named)

    return values


def _check_unused(label: str, **arguments: Any) -> None:
    if given := [name for name, value in arguments.items() if value]:
        raise DefinitionError(f"The feature {label!r} has no queryset as its source, so it takes no {given[0]}.")


def _limits(
    label: str,
    refresh: Duration | None,
    ttl: Duration | None,
    stale_tolerance: Duration | None,
    *,
    materialize: bool,
    is_given: bool,
) -> Limits:
    """Return the limits on the age of the values, with the defaults; raise DefinitionError for no duration."""
    every = parse_duration(refresh, f"refresh of {label!r}")
    expiry = parse_duration(ttl, f"ttl of {label!r}")
    tolerance = parse_duration(stale_tolerance, f"stale_tolerance of {label!r}")
    if every is None and not is_given and (materialize or expiry is None):
        every = settings.FABRA_DEFAULT_REFRESH
    # One more refresh is tolerated, so that a scheduler that is late by one slot delays no request.
    tolerance = tolerance or (every if materialize and every else timedelta(0))
    return Limits(refresh=every, stale_tolerance=tolerance, ttl=expiry)


def _check_default(spec: FeatureSpec) -> None:
    try:
        ValueType(feature=spec.name).encode(None if spec.default_value is UNSET else spec.default_value)
    except InvalidFeatureValue as error:
        raise DefinitionError(f"default_value: {error}") from None


def _resolve_entity(entity: type | str, feature_name: str) -> EntitySpec:
    """Return the spec of a declared entity; raise DefinitionError if it is not declared."""
    spec = entities.get(entity) if isinstance(entity, str) else getattr(entity, "__fabra_entity__", None)
    if spec is None:
        raise DefinitionError(
            f"The feature {feature_name!r} names an unknown entity {entity!r}; declare it with @entity."
        )
    return spec


def _check_source(source: str | None, trigger: str | None, name: str, *, is_computed: bool) -> None:
    if source is None:
        return
    if source != TOKEN:
        raise DefinitionError(f"source of {name!r} must be {TOKEN!r} or a queryset, not {source!r}.")
    if trigger or is_computed:
        raise DefinitionError(
            f"The feature {name!r} has a source: its values come from there, so it takes neither trigger, materialize"
            " nor batch."
        )


def _batch_size(batch: bool, batch_size: int | None, trigger: str | None, name: str) -> int | None:
    if batch and trigger:
        raise DefinitionError(f"The feature {name!r} has a trigger: it is called for one event, not for a batch.")
    if batch_size is not None and not batch:
        raise DefinitionError(f"The feature {name!r} has a batch_size; declare it with batch=True.")
    _check_count(batch_size, f"batch_size of {name!r}")
    return (batch_size or BATCH_SIZE) if batch else None


def _check_count(value: int | None, label: str) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise DefinitionError(f"{label} must be a positive whole number, not {value!r}.")


def _parameters(
    function: Callable[..., Any], name: str, trigger: str | None, source: str | None, key: str
) -> tuple[bool, bool]:
    """Return whether the function takes the event or the trait, and `as_of`; raise DefinitionError."""
    signature = inspect.signature(function)
    takes_as_of = "as_of" in signature.parameters
    if takes_as_of and trigger:
        raise DefinitionError(f"The feature {name!r} has a trigger: its time is the event's, so it takes no `as_of`.")
    if takes_as_of and source:
        raise DefinitionError(f"The feature {name!r} has a source: its time is the token's, so it takes no `as_of`.")
    named = {"as_of": None} if takes_as_of else {}
    for count in (2,) if source else (2, 1) if trigger else (1,):
        try:
            signature.bind(*[None] * count, **named)
        except TypeError:
            continue
        return count == 2, takes_as_of
    wants = f"({key}, event) or ({key})" if trigger else f"({key}) or ({key}, as_of)"
    wants = f"({key}, trait)" if source else wants
    raise DefinitionError(f"The feature {name!r} is called with {wants}, but its function takes {signature}.")
