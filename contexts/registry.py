"""Declared contexts by name, and the operator's changes to them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from common.definitions import Location, Registry
from common.operator_settings import Snapshot
from contexts.models import ContextDefinition
from features.feature_sets import FeatureSet

operator_settings: Snapshot[dict[str, Any]] = Snapshot(
    lambda: {
        row["name"]: dict(row)
        for row in ContextDefinition.objects.values("name", "is_enabled", "max_tokens_override", "created_at")
    }
)


@dataclass(frozen=True, kw_only=True)
class ContextSpec:
    """A declared context, with its defaults filled in."""

    name: str
    function: Callable[..., Any]
    signature: inspect.Signature
    max_tokens: int
    """The budget, unless an operator has set another one."""
    model: str
    """The model whose tokens are counted."""
    overflow: str
    """What happens where required items exceed the budget: `raise` or `allow`."""
    freshness_sla: timedelta | None
    """The greatest age of data that is not reported; None: no age is."""
    freshness_strict: bool
    """Whether older data is an error."""
    description: str
    location: Location
    asked_model: str = ""
    """The model that the declaration names, which is the first one to be asked; "" if it names none."""
    features: FeatureSet | None = None
    """What its function gets as the parameter `features`."""


contexts: Registry[ContextSpec] = Registry("context")
