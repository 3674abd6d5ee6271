"""Write values to Redis that could not be written while it was down, and erase there what was erased meanwhile."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from asgiref.sync import sync_to_async
from django.db import connection

from features.errors import OnlineStoreUnavailable
from features.models import FeatureValue, OnlineRepair
from features.offline import stored_values
from features.online import OnlineStore
from features.values import StoredValue

_AT_ONCE = 500

# A row that was renewed meanwhile stays: there is a value that is newer than the one that was just written.
_DELETE = """
DELETE FROM features_onlinerepair r
USING unnest(%s::bigint[], %s::timestamptz[]) AS done(id, created_at)
WHERE r.id = done.id AND r.created_at = done.created_at
"""


async def repair_online(until: Callable[[], bool] = lambda: False) -> int:
    """Write the newest offline value of each OnlineRepair row to the online store; return how many were repaired.

    What is there is deleted first: it may be newer, as a value that was erased. A value that is written meanwhile is
    not lost, since it is written offline before it is online. It ends when Redis does not answer, or `until()` is true.
    """
    store, repaired = OnlineStore(), 0
    while rows := [row async for row in OnlineRepair.objects.order_by("id")[:_AT_ONCE]]:
        try:
            for entity, names in _names(rows).items():
                await store.forget(entity, names)
            for entity, values in (await _newest(rows)).items():
                await store.write(entity, values)
        except OnlineStoreUnavailable:
            return repaired
        await _delete(rows)
        repaired += len(rows)
        if until():
            break
    return repaired


def _names(rows: Sequence[OnlineRepair]) -> dict[str, dict[str, list[str]]]:
    """Return the features of the rows by entity and key."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row.entity][row.entity_key].append(row.feature)
    return found


@sync_to_async
def _newest(rows: Sequence[OnlineRepair]) -> dict[str, dict[str, dict[str, StoredValue]]]:
    """Return the newest offline values of the rows, by entity, key and feature."""
    keys = defaultdict[tuple[str, str], list[str]](list)
    for row in rows:
        keys[row.entity, row.feature].append(row.entity_key)
    found: dict[str, dict[str, dict[str, StoredValue]]] = defaultdict(lambda: defaultdict(dict))
    for (entity, feature), entity_keys in keys.items():
        for value, stored in stored_values(FeatureValue.objects.latest_of(entity, entity_keys, [feature])):
            found[entity][value.entity_key][feature] = stored
    return found


@sync_to_async
def _delete(rows: Sequence[OnlineRepair]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_DELETE, [[row.pk for row in rows], [row.created_at for row in rows]])
