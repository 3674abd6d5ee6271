"""The keys of all known entities: those that the entity's declaration lists, and those that were seen."""

from collections.abc import Iterator

from common.errors import InvalidInput
from common.validation import check_identity
from features.models import KnownEntity
from features.registry import EntitySpec, FeatureSpec


def known_keys(spec: EntitySpec) -> list[str]:
    """Return the sorted keys of all known entities; a key that is no valid one is left out."""
    seen = KnownEntity.objects.remembered(spec.name).values_list("entity_key", flat=True)
    return sorted({*seen, *_declared_keys(spec)})


def _declared_keys(spec: EntitySpec) -> Iterator[str]:
    """Yield the keys that the declaration lists, which is a queryset of one column, an iterable, or a function."""
    listed = spec.keys() if callable(spec.keys) else spec.keys
    if hasattr(listed, "iterator"):
        listed = listed.all().iterator(chunk_size=5000)
    for listed_key in listed or ():
        value = listed_key[0] if isinstance(listed_key, tuple | list) else getattr(listed_key, "pk", listed_key)
        if value is None:
            continue  # a row of nobody
        try:
            yield check_identity(str(value), spec.key)
        except InvalidInput:
            continue  # no request could name it either


def no_keys_message(feature: FeatureSpec) -> str:
    """Return what to do where nothing is known that could be materialised."""
    spec = feature.entity
    if feature.queryset is not None:
        return f"Its source has no rows, so nothing is computed: {feature.queryset}. Or name some with --entity-ids."
    return (
        f"No {spec.name} is known, so nothing is computed. One becomes known by a request or an event that names it. "
        f"Declare where the keys are, as in @entity(store, keys=Account.objects.values_list({spec.key!r})), or name "
        "some with --entity-ids."
    )
