"""Feature sets: named groups of one entity's features, which are asked for together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.definitions import Location, Registry, location_of_caller
from common.errors import DefinitionError, NotFound
from common.validation import check_key
from features import registry
from features.registry import EntitySpec, FeatureSpec


@dataclass(frozen=True, kw_only=True)
class FeatureSet:
    """A declared group of features of one entity."""

    name: str
    entity: EntitySpec
    features: tuple[str, ...]
    """Their names, without duplicates, in the order of the declaration."""
    description: str
    location: Location


feature_sets: Registry[FeatureSet] = Registry("feature set")


def feature_set(name: str, features: Sequence[Any], *, description: str = "") -> FeatureSet:
    """Declare a group of features of one entity, given as functions or names.

    It stands wherever the store's methods take features, and as `features` of a context. Raise DefinitionError for no
    feature, one that is not declared yet, features of two entities, or a name that is declared elsewhere.
    """
    specs = [_spec_of(feature, name) for feature in features]
    if not specs:
        raise DefinitionError(f"The feature set {name!r} has no features.")
    for spec in specs:
        if spec.entity.name != specs[0].entity.name:
            raise DefinitionError(
                f"The feature set {name!r} has features of two entities: {specs[0].name!r} of {specs[0].entity.name}, "
                f"and {spec.name!r} of {spec.entity.name}."
            )
    declared = FeatureSet(
        name=check_key(name, "The name of a feature set"),
        entity=specs[0].entity,
        features=tuple(dict.fromkeys(spec.name for spec in specs)),
        description=description,
        location=location_of_caller(),
    )
    feature_sets.add(name, declared)
    return declared


def feature_name(feature: Any) -> str:
    """Return the name of a feature that is given as its function or its name; raise NotFound for anything else."""
    if isinstance(feature, str):
        return feature
    spec = getattr(feature, "__fabra_feature__", None)
    if spec is None:
        raise NotFound(f"{feature!r} is no declared feature.")
    return str(spec.name)


def sets_with(feature: str) -> list[FeatureSet]:
    """Return the declared sets that have a feature of this name."""
    return [declared for declared in feature_sets.values() if feature in declared.features]


def _spec_of(feature: Any, set_name: str) -> FeatureSpec:
    try:
        return registry.features.require(feature_name(feature))
    except NotFound as error:
        raise DefinitionError(f"The feature set {set_name!r}: {error} Declare a feature before its sets.") from None
