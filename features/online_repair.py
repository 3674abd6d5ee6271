"""Tell Redis what it could not be told while it was down."""

from features.errors import OnlineStoreUnavailable
from features.models import FeatureValue, OnlineRepair
from features.online import OnlineStore
from features.values import StoredValue

_LIMIT = 500


async def repair_online() -> int:
    """Write the newest offline value of each noted feature online; return how many were mended."""
    store, mended = OnlineStore(), 0
    notes = [note async for note in OnlineRepair.objects.order_by("id")[:_LIMIT]]
    for note in notes:
        row = await FeatureValue.objects.latest_of(note.entity, [note.entity_key], [note.feature]).afirst()
        if row is not None:
            stored = StoredValue.of_row(row)
            try:
                await store.write(note.entity, {note.entity_key: {note.feature: stored}})
            except OnlineStoreUnavailable:
                return mended
        await note.adelete()
        mended += 1
    return mended
