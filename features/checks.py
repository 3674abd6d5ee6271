"""System checks of declared features."""

import inspect
from typing import Any

from django.core import checks

from features.registry import features
from features.value_types import AnnotationUnusable


def check_querysets(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check that the function of each queryset feature annotates its queryset; no query is made."""
    problems: list[checks.CheckMessage] = []
    for spec in features.values():
        if spec.queryset is None:
            continue
        try:
            spec.queryset.output_field(inspect.unwrap(spec.function), spec.name, takes_as_of=spec.takes_as_of)
        except Exception as error:  # a user's function may raise anything
            problems.append(
                checks.Error(
                    f"The queryset of the feature {spec.name!r} cannot be built: {type(error).__name__}: {error}",
                    hint=f"Its function gets a queryset of {spec.queryset.model.__name__} and returns it annotated.",
                    id="features.E001",
                )
            )
    return problems


def check_inputs(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check that what on-demand features need is declared."""
    return [
        checks.Error(
            f"The on-demand feature {spec.name!r} needs {name!r}, which no code declares.",
            hint="Each parameter behind the entity key is a feature's name, or `request`.",
            id="features.E002",
        )
        for spec in features.values()
        for name in spec.inputs
        if name not in features
    ]


def check_annotations(**kwargs: Any) -> list[checks.CheckMessage]:
    problems: list[checks.CheckMessage] = []
    for spec in features.values():
        try:
            spec.declared_type()
        except AnnotationUnusable as error:
            problems.append(
                checks.Warning(
                    f"The return annotation of the feature {spec.name!r} is not used: {error}.",
                    hint="Its values have JSON's own types. Name a type that pydantic knows, defined where the "
                    "function is, not only under TYPE_CHECKING.",
                    id="features.W001",
                )
            )
    return problems
