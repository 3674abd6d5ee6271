"""System checks of declared features."""

from typing import Any

from django.core import checks

from features.registry import features
from features.value_types import AnnotationUnusable, value_type


def check_annotations(**kwargs: Any) -> list[checks.CheckMessage]:
    problems: list[checks.CheckMessage] = []
    for spec in features.values():
        try:
            value_type(spec.name, spec.function, is_batch=spec.is_batch)
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
