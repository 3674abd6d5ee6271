"""Check the arguments with which features are declared; a wrong one raises DefinitionError."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings

from common.durations import Duration, parse_duration
from common.errors import DefinitionError
from features.freshness import FreshnessLimits
from features.queryset_source import QuerysetSource
from features.registry import TOKEN, UNSET, EntitySpec, FeatureSpec, entities
from features.value_types import InvalidFeatureValue, ValueType

REQUEST = "request"
"""The parameter of an on-demand feature that gets the request's data."""
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True, kw_only=True)
class FunctionParameters:
    """What a feature's function takes beside its keys."""

    inputs: tuple[str, ...] = ()
    request: bool = False
    event: bool = False
    """Or the trait, from a token."""
    as_of: bool = False


def check_ways(
    label: str,
    function: Callable[..., Any],
    *,
    rows: QuerysetSource | None,
    source: str | None,
    on_demand: bool,
    trigger: str | None,
    materialize: bool,
    **others: Any,
) -> None:
    """Check that the values come about in one way only; `others` are batch, batch_size, key and watches."""
    if rows is None:
        check_unused(label, "has no queryset as its source", key=others["key"], watches=others["watches"])
    if source not in (None, TOKEN):
        raise DefinitionError(f"source of {label!r} must be {TOKEN!r} or a queryset, not {source!r}.")
    ways = {"trigger": trigger, "materialize": materialize, "batch": others["batch"]}
    if on_demand:
        check_unused(
            label, "is on demand: it is never stored", source=source or rows, batch_size=others["batch_size"], **ways
        )
    elif source:
        why = "has a source: its values come from there"
        check_unused(label, why, **ways, batch_size=others["batch_size"])
    elif rows:
        why = "has a queryset as its source: it takes many keys, and what changes is told by watches"
        check_unused(label, why, trigger=trigger, batch=others["batch"])
        if inspect.iscoroutinefunction(function):
            raise DefinitionError(f"{label!r} must be a plain function: it returns a queryset, and waits for nothing.")
    elif trigger:
        check_unused(label, "has a trigger: events update it", materialize=materialize)
        check_unused(label, "has a trigger: it is called for one event, not for a batch", batch=others["batch"])
    if others["batch_size"] is not None and not (others["batch"] or rows):
        raise DefinitionError(f"The feature {label!r} has a batch_size; declare it with batch=True.")


def check_unused(label: str, why: str, **arguments: Any) -> None:
    """Refuse the arguments that are given, since the feature is of another kind."""
    if given := [name for name, value in arguments.items() if not (value is None or value is False or value == ())]:
        raise DefinitionError(f"The feature {label!r} {why}, so it takes no {given[0]}.")


def limits_of(
    label: str,
    refresh: Duration | None,
    ttl: Duration | None,
    stale_tolerance: Duration | None,
    *,
    materialize: bool,
    is_given: bool,
) -> FreshnessLimits:
    """Return the limits on the age of the values, with the defaults; raise DefinitionError for no duration."""
    every = parse_duration(refresh, f"refresh of {label!r}")
    expiry = parse_duration(ttl, f"ttl of {label!r}")
    tolerance = parse_duration(stale_tolerance, f"stale_tolerance of {label!r}")
    if every is None and not is_given and (materialize or expiry is None):
        every = settings.FABRA_DEFAULT_REFRESH
    # One more refresh is tolerated, so that a scheduler that is late by one slot delays no request.
    tolerance = tolerance or (every if materialize and every else timedelta(0))
    return FreshnessLimits(refresh=every, stale_tolerance=tolerance, ttl=expiry)


def check_default(spec: FeatureSpec) -> None:
    try:
        ValueType(feature=spec.name).encode(None if spec.default_value is UNSET else spec.default_value)
    except InvalidFeatureValue as error:
        raise DefinitionError(f"default_value: {error}") from None


def resolve_entity(entity: type | str, feature_name: str) -> EntitySpec:
    """Return the spec of a declared entity; raise DefinitionError if it is not declared."""
    spec = entities.get(entity) if isinstance(entity, str) else getattr(entity, "__fabra_entity__", None)
    if spec is None:
        raise DefinitionError(
            f"The feature {feature_name!r} names an unknown entity {entity!r}; declare it with @entity."
        )
    return spec


def check_count(value: int | None, label: str) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise DefinitionError(f"{label} must be a positive whole number, not {value!r}.")


def parameters_of(
    function: Callable[..., Any],
    name: str,
    trigger: str | None,
    source: str | None,
    rows: QuerysetSource | None,
    *,
    is_batch: bool,
    on_demand: bool,
) -> FunctionParameters:
    """Return what the function takes; raise DefinitionError."""
    if on_demand:
        return _of_on_demand(function, name)
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
        return FunctionParameters(event=count == 2, as_of=takes_as_of)
    key = "rows" if rows else "entity_keys" if is_batch else "entity_key"
    wants = f"({key}, event) or ({key})" if trigger else f"({key}) or ({key}, as_of)"
    wants = f"({key}, trait)" if source else wants
    raise DefinitionError(f"The feature {name!r} is called with {wants}, but its function takes {signature}.")


def _of_on_demand(function: Callable[..., Any], name: str) -> FunctionParameters:
    """Return the parameters behind the entity key, which are features and the request."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    is_key_first = bool(parameters) and parameters[0].kind not in (inspect.Parameter.KEYWORD_ONLY, *_VARIABLE)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if not is_key_first or any(parameter.kind not in named for parameter in parameters[1:]):
        raise DefinitionError(
            f"The feature {name!r} is on demand: its function takes the entity key, then features by their names, and "
            f"{REQUEST!r} for what is known of the request, but it takes {signature}."
        )
    names = [parameter.name for parameter in parameters[1:]]
    return FunctionParameters(inputs=tuple(name for name in names if name != REQUEST), request=REQUEST in names)
