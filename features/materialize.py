"""Materialise a feature for many entities: resumable, with progress, one failure stopping nobody else."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from features import registry
from features.compute import put_online, run_function, write_values
from features.errors import FeatureComputeError, InvalidInput
from features.models import FeatureValue, KnownEntity, MaterializationRun
from features.registry import FeatureSpec
from features.text import check_key
from features.values import StoredValue

BATCH = 200
CONCURRENCY = 16
_KEPT_ERRORS = 20
_HEARTBEAT_S = 15.0


async def materialize(
    feature: str,
    entity_ids: Sequence[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> MaterializationRun:
    """Compute and store a feature for the given or all known entities; return the finished run.

    With `start` or `end` nothing is computed: the newest offline value of each entity that was true in
    that range is loaded into the online store. Raise NotFound for an undeclared feature and InvalidInput
    for a triggered one, which only its events can compute.
    """
    spec = registry.features.require(feature)
    keys = [check_key(key, spec.entity.key) for key in entity_ids] if entity_ids is not None else None
    if start is None and end is None and spec.trigger:
        raise InvalidInput(f"The feature {feature!r} is computed by its events; give start and end to load values.")
    run = await MaterializationRun.objects.acreate(feature=feature, entity_keys=keys)
    await MaterializationRun.objects.filter(id=run.pk).aupdate(
        state=MaterializationRun.State.RUNNING, started_at=timezone.now()
    )
    if start is None and end is None:
        await execute_run(run.pk)
    else:
        await _load_range(spec, run.pk, keys, start, end)
    await run.arefresh_from_db()
    return run


def open_slot(feature: str, now: datetime, every_s: float) -> MaterializationRun | None:
    """Create the run of the slot that `now` is in; None if another scheduler did."""
    slot = datetime.fromtimestamp(now.timestamp() // every_s * every_s, UTC)
    try:
        with transaction.atomic():
            return MaterializationRun.objects.create(feature=feature, slot=slot)
    except IntegrityError:
        return None


async def execute_run(run_id: int) -> None:
    """Work a claimed run off from its cursor on, batch by batch."""
    run = await MaterializationRun.objects.aget(id=run_id)
    spec = registry.features.get(run.feature)
    if spec is None:
        await _finish(run_id, [{"error": "No such feature is declared in this process."}])
        return
    heart = asyncio.create_task(_beat(run_id))
    try:
        await _work_off(spec, run)
    finally:
        heart.cancel()


async def _beat(run_id: int) -> None:
    """Show that the run's worker lives, however slow the feature's function is."""
    while True:
        await asyncio.sleep(_HEARTBEAT_S)
        await MaterializationRun.objects.filter(id=run_id).aupdate(heartbeat_at=timezone.now())


async def _work_off(spec: FeatureSpec, run: MaterializationRun) -> None:
    errors: list[dict[str, str]] = run.errors
    keys = await sync_to_async(_remaining)(spec, run)
    await MaterializationRun.objects.filter(id=run.pk).aupdate(total=run.done + run.failed + len(keys))
    for batch in _batches(keys):
        failed = await _materialize_batch(spec, batch, run.pk)
        errors = (errors + failed)[:_KEPT_ERRORS]
        run.done += len(batch) - len(failed)
        run.failed += len(failed)
        await MaterializationRun.objects.filter(id=run.pk).aupdate(
            done=run.done, failed=run.failed, cursor=batch[-1], errors=errors, heartbeat_at=timezone.now()
        )
    await _finish(run.pk, errors)


def _remaining(spec: FeatureSpec, run: MaterializationRun) -> list[str]:
    keys = run.entity_keys
    if keys is None:
        keys = KnownEntity.objects.remembered(spec.entity.name).values_list("entity_key", flat=True)
    # Sorted here, not by the database's collation: the cursor is compared as Python compares.
    return sorted(key for key in set(keys) if key > run.cursor)


async def _materialize_batch(spec: FeatureSpec, keys: Sequence[str], run_id: int) -> list[dict[str, str]]:
    """Compute a batch and write it in one go; return the errors by entity key."""
    now, gate = datetime.now(UTC), asyncio.Semaphore(CONCURRENCY)

    async def compute(key: str) -> Any:
        async with gate:
            return await run_function(spec, key)

    results = await asyncio.gather(*(compute(key) for key in keys), return_exceptions=True)
    values, errors = {}, []
    for key, result in zip(keys, results, strict=True):
        if isinstance(result, FeatureComputeError):
            errors.append({"entity_key": key, "error": repr(result.__cause__)[:500]})
        elif isinstance(result, BaseException):
            raise result
        else:
            values[key] = result
    if values:
        await write_values(spec, values, event_timestamp=now, source=FeatureValue.Source.MATERIALIZED, run_id=run_id)
    return errors


async def _load_range(
    spec: FeatureSpec, run_id: int, keys: list[str] | None, start: datetime | None, end: datetime | None
) -> None:
    rows: QuerySet[FeatureValue] = FeatureValue.objects.filter(feature=spec.name, entity=spec.entity.name)
    if keys is not None:
        rows = rows.filter(entity_key__in=keys)
    if start is not None:
        rows = rows.filter(event_timestamp__gte=start)
    if end is not None:
        rows = rows.filter(event_timestamp__lte=end)
    newest = rows.order_by("entity_key", "-event_timestamp", "-created_at", "-id").distinct("entity_key")
    done, batch = 0, {}
    async for row in newest.aiterator(chunk_size=BATCH):
        batch[row.entity_key] = StoredValue.of_row(row)
        if len(batch) == BATCH:
            await put_online(spec.entity.name, spec.name, batch)
            done, batch = done + len(batch), {}
    await put_online(spec.entity.name, spec.name, batch)
    done += len(batch)
    await MaterializationRun.objects.filter(id=run_id).aupdate(total=done, done=done)
    await _finish(run_id, [])


async def _finish(run_id: int, errors: list[dict[str, str]]) -> None:
    run = await MaterializationRun.objects.aget(id=run_id)
    nothing_worked = bool(errors) and not run.done
    now = timezone.now()
    await MaterializationRun.objects.filter(id=run_id).aupdate(
        state=MaterializationRun.State.FAILED if nothing_worked else MaterializationRun.State.DONE,
        errors=errors,
        heartbeat_at=now,
        finished_at=now,
    )


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), BATCH):
        yield keys[start : start + BATCH]
