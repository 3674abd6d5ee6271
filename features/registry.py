"""Declared entities and features by name."""

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

from common.definitions import Location, Registry
from features.freshness import FreshnessLimits
from features.queryset_source import QuerysetSource
from features.queryset_types import type_of_field
from features.value_types import (
    AnnotationUnusable,
    InvalidFeatureValue,
    ValueType,
    annotation_of,
    is_queryset,
    type_of,
    value_type,
)

logger = logging.getLogger(__name__)

BATCH_SIZE = 500
"""Keys in one call of a batch function, unless it declares its own `batch_size`."""
ASYNC_CONCURRENCY = 16

TOKEN = "token"  # noqa: S105 (it is no secret)
"""The source of values that stand in the signed token by which a site names its user."""

UNSET: Any = object()
"""The default of `default_value`: no default was declared, so a failure is an error."""


@dataclass(frozen=True, kw_only=True)
class EntitySpec:
    """A declared entity."""

    name: str
    key: str
    """The name of the field that identifies an entity, such as `user_id`."""
    description: str
    location: Location
    keys: Any = field(default=None, compare=False, repr=False)
    """Lists the keys of all entities: a queryset of one column, an iterable, or a function that returns one."""


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """A declared feature, with its defaults filled in."""

    name: str
    entity: EntitySpec
    function: Callable[..., Any]
    """Takes an entity key, or a list of them if `is_batch`; async or plain."""
    refresh: timedelta | None
    """A value is fresh for this long after its event_timestamp; None: until `ttl`."""
    stale_tolerance: timedelta
    """How long past `refresh` a value is still served while it is recomputed in the background."""
    ttl: timedelta | None
    """A value this old is expired and never served; None: never."""
    materialize: bool
    """Whether the scheduler computes it for all known entities, every `refresh`."""
    trigger: str | None
    """The type of the events by which its values come; None: a read or a run computes them."""
    source: str | None
    """What brings its values, such as TOKEN; None: its function computes them."""
    queryset: QuerysetSource | None = None
    """The queryset that its function annotates; `function` then takes keys, and runs the query."""
    on_demand: bool = False
    """Whether it is computed at each read, and never stored."""
    inputs: tuple[str, ...] = ()
    """The features that an on-demand one is computed from."""
    takes_request: bool = False
    """Whether an on-demand one gets the request's data."""
    takes_event: bool
    takes_as_of: bool
    """Whether the function takes a past moment, so that the feature can be backfilled."""
    batch_size: int | None
    """The most entity keys that one call takes; None: the function takes a single one."""
    concurrency: int
    """The most simultaneous calls while it is materialised."""
    default_value: Any
    """What is served where there is no value, in the feature's type; UNSET: that is an error."""
    description: str
    location: Location

    @cached_property
    def limits(self) -> FreshnessLimits:
        """The limits on the age of its values, as declared; an operator's `refresh` comes before them."""
        return FreshnessLimits(refresh=self.refresh, stale_tolerance=self.stale_tolerance, ttl=self.ttl)

    @property
    def is_pushed(self) -> bool:
        """Return whether its values come by themselves, by events or from a source: a read never computes one."""
        return self.trigger is not None or self.source is not None

    @property
    def is_batch(self) -> bool:
        """Whether one call of the function takes many entity keys."""
        return self.batch_size is not None

    @cached_property
    def value_type(self) -> ValueType:
        """The type that the function's return annotation declares; JSON's own types if it is of no use.

        It is determined at first use, when all names in the annotation are defined.
        """
        try:
            return self.declared_type()
        except AnnotationUnusable as error:
            logger.warning("The return annotation of the feature %s is not used: %s", self.name, error)
            return ValueType(feature=self.name)

    def declared_type(self) -> ValueType:
        """Return the type of the values; raise AnnotationUnusable.

        For a queryset it is that of the annotated field, unless the function's return annotation names another one.
        """
        if self.queryset is None:
            return value_type(self.name, self.function, is_batch=self.is_batch)
        annotation = annotation_of(self.function)
        if annotation is Any or is_queryset(annotation):
            function = inspect.unwrap(self.function)
            try:
                field = self.queryset.output_field(function, self.name, takes_as_of=self.takes_as_of)
            except Exception as error:  # a user's function may raise anything
                raise AnnotationUnusable(f"{type(error).__name__}: {error}") from error
            annotation = type_of_field(field)
        return type_of(self.name, annotation)

    @cached_property
    def default_json(self) -> Any:
        """The default in JSON's own types, or None; one that is not of the feature's type is served as it is there."""
        if self.default_value is UNSET:
            return None
        try:
            return self.value_type.encode(self.default_value)
        except InvalidFeatureValue:
            return ValueType(feature=self.name).encode(self.default_value)

    @cached_property
    def default(self) -> Any:
        """The default in the feature's type, or None."""
        try:
            return self.value_type.decode(self.default_json)
        except InvalidFeatureValue:
            return self.default_json

    @property
    def has_default(self) -> bool:
        """Whether a default was declared, which may be None."""
        return self.default_value is not UNSET


entities: Registry[EntitySpec] = Registry("entity")
features: Registry[FeatureSpec] = Registry("feature")
