"""Erase values whose text is taken back: the rows at once, what Redis has of them as soon as it answers."""

from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings
from django.db.models import QuerySet

from common.redis import plain_redis
from features.models import FeatureValue, OnlineRepair
from features.online import entity_key_of


@dataclass(frozen=True, kw_only=True)
class ErasedValue:
    """A feature of an entity of which something was erased."""

    entity: str
    entity_key: str
    feature: str


def erase_values(values: QuerySet[FeatureValue]) -> list[ErasedValue]:
    """Delete values, and return of what; call it in a transaction, and `erase_online` after its commit.

    Rows that repeat one of them, since it was confirmed behind a later row, go too. A read gives what was true before
    them, or computes the value. The sweep goes on with Redis after an outage.
    """
    columns = values.order_by("entity", "entity_key", "feature").values_list("entity", "entity_key", "feature")
    found = [ErasedValue(entity=entity, entity_key=key, feature=name) for entity, key, name in columns.distinct()]
    OnlineRepair.objects.bulk_create(
        [OnlineRepair(entity=value.entity, entity_key=value.entity_key, feature=value.feature) for value in found],
        update_conflicts=True, unique_fields=["entity", "entity_key", "feature"], update_fields=["created_at"],
    )  # fmt: skip
    repeated = FeatureValue.objects.filter(
        entity__in={value.entity for value in found}, entity_key__in={value.entity_key for value in found},
        feature__in={value.feature for value in found}, confirmed_as__in=list(values.values_list("pk", flat=True)),
    )  # fmt: skip
    repeated.delete()
    values.delete()
    return found


def erase_online(erased: Collection[ErasedValue]) -> None:
    """Delete what Redis has of the values, which is read from PostgreSQL then; raise one of REDIS_ERRORS."""
    if not erased:
        return
    with plain_redis(settings.FABRA_REDIS_TIMEOUT_S).pipeline(transaction=False) as pipe:
        for value in erased:
            pipe.hdel(entity_key_of(value.entity, value.entity_key), value.feature)
        pipe.execute()
