"""The entity keys that a materialisation run goes over, in pages from its cursor on."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Protocol

from features.compute import in_parts
from features.known_keys import known_keys
from features.models import FeatureValue, KnownEntity, MaterializationRun
from features.registry import BATCH_SIZE, FeatureSpec


class Keys(Protocol):
    """Entity keys in an order of their own; "" stands before all of them."""

    def count(self) -> int: ...
    def count_until(self, key: str) -> int: ...
    def keys_after(self, key: str, size: int) -> list[str]: ...
    def keys_before(self, key: str, size: int) -> list[str]: ...


class ListedKeys:
    """Keys in Python's order, which is not that of the database's collation."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = sorted(set(keys))

    def count(self) -> int:
        return len(self.keys)

    def count_until(self, key: str) -> int:
        return bisect_right(self.keys, key)

    def keys_after(self, key: str, size: int) -> list[str]:
        start = self.count_until(key)
        return self.keys[start : start + size]

    def keys_before(self, key: str, size: int) -> list[str]:
        end = self.count_until(key)
        return self.keys[max(0, end - size) : end]


def keys_of(spec: FeatureSpec, run: MaterializationRun) -> Keys:
    """Return the keys that the run names, else those of the feature's queryset, else those of all known entities."""
    if run.entity_keys is not None:
        return ListedKeys(run.entity_keys)
    return spec.queryset or ListedKeys(known_keys(spec.entity))


def vanished_keys(spec: FeatureSpec) -> list[str]:
    """Return the known entities that have a value other than the default, and no row in the feature's queryset."""
    if spec.queryset is None:
        return []
    remembered = KnownEntity.objects.remembered(spec.entity.name).values_list("entity_key", flat=True)
    found: list[str] = []
    for part in in_parts(list(remembered), BATCH_SIZE):
        absent = spec.queryset.absent(part)
        newest = FeatureValue.objects.latest_of(spec.entity.name, absent, [spec.name])
        found += [row.entity_key for row in newest if row.value != spec.default_json]
    return found
