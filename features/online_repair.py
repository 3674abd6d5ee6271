"""Write values to Redis that could not be written while it was down."""

from asgiref.sync import sync_to_async

from features.errors import OnlineStoreUnavailable
from features.models import FeatureValue, OnlineRepair
from features.offline import stored_values
from features.online import OnlineStore

_LIMIT = 500


async def repair_online() -> int:
    """Write the newest offline value of each OnlineRepair row to the online store; return how many were repaired."""
    store, repaired = OnlineStore(), 0
    rows = [row async for row in OnlineRepair.objects.order_by("id")[:_LIMIT]]
    for repair in rows:
        latest = FeatureValue.objects.latest_of(repair.entity, [repair.entity_key], [repair.feature])
        for _, stored in await sync_to_async(stored_values)(latest):
            try:
                await store.write(repair.entity, {repair.entity_key: {repair.feature: stored}})
            except OnlineStoreUnavailable:
                return repaired
        await repair.adelete()
        repaired += 1
    return repaired
