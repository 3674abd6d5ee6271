"""Values that a signed token brings: they are stored like any others, as true at the time of the token."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from common.clocks import latest_possible
from features import registry
from features.compute import run_function
from features.errors import FeatureComputeError
from features.freshness import Freshness, freshness
from features.models import FeatureValue
from features.registry import TOKEN, FeatureSpec
from features.serving import read_features
from features.value_writer import write_values
from features.values import FeatureRead

logger = logging.getLogger(__name__)


def declared_traits(key: str, names: Mapping[str, Any]) -> list[FeatureSpec]:
    """Return the features that take a trait of these names, of the entities whose key is called `key`."""
    return [
        spec
        for spec in registry.features.values()
        if spec.source == TOKEN and spec.entity.key == key and spec.name in names
    ]


async def keep_traits(key: str, entity_key: str, traits: Mapping[str, Any], as_of: datetime) -> None:
    """Store what a token of the time `as_of` says, where that is new; what no feature declares is ignored.

    So a token that comes with every request writes nothing, and an older one replaces nothing newer. A trait that its
    feature's function or type refuses is left out, and logged by name; null is the value None, of every feature.
    """
    specs = declared_traits(key, traits)
    for entity in {spec.entity.name for spec in specs}:
        own = [spec for spec in specs if spec.entity.name == entity]
        reads = await read_features(entity, entity_key, [spec.name for spec in own])
        for spec, read in zip(own, reads, strict=True):
            try:
                trait = traits[spec.name]
                value = None if trait is None else await run_function(spec, entity_key, trait)
            except FeatureComputeError as error:
                cause = type(error.__cause__ or error).__name__
                logger.warning("The trait %s of a token was left out (%s).", spec.name, cause)
                continue
            if _is_news(spec, read, value, as_of):
                source = FeatureValue.Source.TOKEN
                await write_values(spec, {entity_key: value}, event_timestamp=as_of, source=source)


def _is_news(spec: FeatureSpec, read: FeatureRead, value: Any, as_of: datetime) -> bool:
    if read.event_timestamp is None:
        return True
    if as_of <= read.event_timestamp <= latest_possible():
        return False
    # Said again, a value that has grown old is as good as new.
    is_old = freshness(read.event_timestamp, spec.limits, datetime.now(UTC)) is not Freshness.FRESH
    return is_old or read.stored != value
