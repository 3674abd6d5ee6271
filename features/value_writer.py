"""Write values to both stores, offline first; values that cannot be written to Redis are written later."""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction

from common.clocks import latest_possible
from features.dry_run import is_dry_run
from features.errors import OnlineStoreUnavailable
from features.models import FeatureValue, KnownEntity, OnlineRepair
from features.offline import StoredValues, ValueOrigin, insert_backfilled, insert_changed, insert_values
from features.online import OnlineStore
from features.registry import FeatureSpec
from features.values import StoredValue

logger = logging.getLogger(__name__)
online_store = OnlineStore()


async def write_values(
    spec: FeatureSpec,
    values: Mapping[str, Any],
    *,
    event_timestamp: datetime,
    source: str,
    run_id: int | None = None,
    event_id: int | None = None,
    also_save: Callable[[int], None] | None = None,
    is_online: bool = True,
) -> dict[str, StoredValue]:
    """Write values by entity key, with one statement offline and one pipeline online; return the stored values.

    What a materialisation finds unchanged is confirmed offline, without a new row, and is as good as new online; what
    a backfill finds as it is stored for the moment writes nothing offline.
    A time that lies ahead is taken for now. `also_save` writes more rows in the same transaction; it gets the number of
    the unchanged values.
    """
    now = datetime.now(UTC)
    event_timestamp = now if event_timestamp > latest_possible(now) else event_timestamp
    origin = ValueOrigin(
        event_timestamp=event_timestamp, created_at=now, source=source, run_id=run_id, event_id=event_id
    )
    insert = _INSERTS.get(source, insert_values)

    @sync_to_async
    def write_offline() -> StoredValues:
        with transaction.atomic():
            if source in _SOURCES_OF_USE:
                KnownEntity.objects.touch(spec.entity.name, list(values))
            written = insert(spec, values, origin)
            if also_save:
                also_save(written.unchanged)
        return written

    ids = {} if is_dry_run() else (await write_offline()).ids
    times = {"event_timestamp": event_timestamp, "created_at": origin.created_at}
    stored = {key: StoredValue(value=value, value_id=ids.get(key), **times) for key, value in values.items()}
    if is_online and not is_dry_run():
        await put_online(spec.entity.name, spec.name, stored)
    return stored


_INSERTS: dict[str, Callable[[FeatureSpec, Mapping[str, Any], ValueOrigin], StoredValues]] = {
    FeatureValue.Source.MATERIALIZED: insert_changed,
    FeatureValue.Source.BACKFILLED: insert_backfilled,
}
"""How values of these sources are written; the others as one row each."""

_SOURCES_OF_USE = frozenset(FeatureValue.Source) - {FeatureValue.Source.MATERIALIZED, FeatureValue.Source.BACKFILLED}
"""Sources that show that an entity is in use; a run over all known entities does not."""


async def put_online(entity: str, feature: str, stored: Mapping[str, StoredValue]) -> None:
    """Write values to Redis; if it does not answer, add OnlineRepair rows, so that the sweep writes them later."""
    try:
        await online_store.write(entity, {key: {feature: value} for key, value in stored.items()})
    except OnlineStoreUnavailable:
        logger.warning("Redis does not answer: %d values of %s are written online later.", len(stored), feature)
        await OnlineRepair.objects.abulk_create(
            [OnlineRepair(entity=entity, entity_key=key, feature=feature) for key in sorted(stored)],
            update_conflicts=True,
            unique_fields=["entity", "entity_key", "feature"],
            update_fields=["created_at"],  # whoever writes the former value now sees that there is a newer one
        )
