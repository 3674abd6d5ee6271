"""Declare a class as an entity, and a function as a feature."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

from common.definitions import Location
from common.durations import Duration
from common.errors import DefinitionError
from features.declared_arguments import (
    check_count,
    check_default,
    check_unused,
    check_ways,
    limits_of,
    parameters_of,
    resolve_entity,
)
from features.on_demand import check_inputs
from features.queryset_source import QuerysetSource, queryset_source
from features.querysets.changes import follow_source
from features.registry import (
    ASYNC_CONCURRENCY,
    BATCH_SIZE,
    UNSET,
    EntitySpec,
    FeatureSpec,
    entities,
    features,
)


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
    on_demand: bool = False,
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

    With `on_demand` it is `f(entity_key, ...)`, computed at each read and never stored: each further parameter is the
    name of a feature of the same entity, and `request` is a mapping of what is known of the request.

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
        of_entity = resolve_entity(entity, label)
        given = source is None or isinstance(source, str)
        rows = None if given else queryset_source(source, key or of_entity.key, watches, repr(label))
        said = source if given else None
        check_ways(
            label, function, rows=rows, source=said, on_demand=on_demand, trigger=trigger, materialize=materialize,
            batch=batch, batch_size=batch_size, key=key, watches=watches,
        )  # fmt: skip
        check_count(batch_size, f"batch_size of {label!r}")
        check_count(concurrency, f"concurrency of {label!r}")
        if on_demand:
            check_unused(label, "is on demand: it is never stored", refresh=refresh, ttl=ttl, concurrency=concurrency,
                         stale_tolerance=stale_tolerance)  # fmt: skip
        is_given = bool(trigger or said or on_demand)
        limits = limits_of(label, refresh, ttl, stale_tolerance, materialize=materialize, is_given=is_given)
        takes = parameters_of(function, label, trigger, said, rows, is_batch=batch, on_demand=on_demand)
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
            on_demand=on_demand,
            inputs=takes.inputs,
            takes_request=takes.request,
            takes_event=takes.event,
            takes_as_of=takes.as_of,
            batch_size=(batch_size or BATCH_SIZE) if batch or rows else None,
            concurrency=concurrency or (ASYNC_CONCURRENCY if is_parallel else 1),
            default_value=default_value,
            description=description or inspect.getdoc(function) or "",
            location=Location.of(function),
        )
        check_default(spec)
        check_inputs(spec)
        features.add(label, spec)
        if rows:
            follow_source(spec)
        function.__fabra_feature__ = spec  # type: ignore[attr-defined]
        return function

    return declare


def _annotating(function: Callable[..., Any], rows: QuerysetSource, label: str) -> Callable[..., Any]:
    """Return the function of many keys that runs the query of a function of rows."""

    @wraps(function)
    def values(entity_keys: list[str], **named: Any) -> dict[str, Any]:
        return rows.values_of(function, label, entity_keys, **named)

    return values
