"""Execute materialisation runs: one worker for each feature, each value once, from the cursor of a worker that died."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from inspect import iscoroutinefunction
from threading import Barrier

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.db import DatabaseError, connections
from django.db.models import QuerySet
from django.utils import timezone

from common.background import repeat
from common.locks import held
from features import registry
from features.compute import Computed, compute_values, reason
from features.materialization.keys import ListedKeys, keys_of, vanished_keys
from features.models import FeatureValue, MaterializationRun
from features.offline import stored_values
from features.registry import FeatureSpec
from features.value_writer import put_online, write_values

logger = logging.getLogger(__name__)

_CHUNK_S = 1.0
"""A chunk ends after this time, so that a slow function shows progress and loses little work in a crash."""
_KEPT_ERRORS = 20
_HEARTBEAT_S = 5.0

State = MaterializationRun.State
Kind = MaterializationRun.Kind


class RunTaken(Exception):
    """The run was stopped, or another worker claimed it; the current chunk is rolled back."""


def lock_name(feature: str) -> str:
    """Return the name of the lock that the worker of a run of the feature holds."""
    return f"materialize:{feature}"


def execute_run(
    run_id: int, *, wait_s: float = 0.0, until: Callable[[], bool] = lambda: False
) -> MaterializationRun | None:
    """Execute a run from its cursor on, and return it; None if another worker holds the feature or it is finished.

    One run of a feature is executed at a time, so that `concurrency` holds across workers. Once `until()` is true it
    returns at the end of a chunk with the run unfinished; another call continues it.
    """
    feature = MaterializationRun.objects.values_list("feature", flat=True).get(id=run_id)
    with held(lock_name(feature), wait_s=wait_s, until=until) as is_mine:
        run = MaterializationRun.objects.all().claim(run_id) if is_mine else None
        if run is None:
            return None
        try:
            async_to_sync(_execute)(run, until)
        except RunTaken:
            logger.info("The run %s was stopped, or is another worker's now.", run)
        except DatabaseError:
            raise  # the sweep resumes the run when PostgreSQL is back
        except Exception as error:
            _save(run, state=State.FAILED, finished_at=timezone.now(), errors=[{"error": repr(error)[:500]}])
            raise
    return run


async def _execute(run: MaterializationRun, until: Callable[[], bool]) -> None:
    spec = registry.features.get(run.feature)
    if spec is None:
        await _end(run, [{"error": "No such feature is declared in this process."}])
        return
    heartbeat = asyncio.create_task(repeat(partial(_beat, run), _HEARTBEAT_S))
    try:
        if run.kind == Kind.LOAD:
            await _load(spec, run, until)
        else:
            await _compute(spec, run, until)
    finally:
        heartbeat.cancel()


async def _beat(run: MaterializationRun) -> None:
    """Note that the run's worker is alive, however long the feature's function takes."""
    await MaterializationRun.objects.filter(id=run.pk).aupdate(heartbeat_at=timezone.now())


async def _compute(spec: FeatureSpec, run: MaterializationRun, until: Callable[[], bool]) -> None:
    """Compute the remaining entities; a backfill, for each of its remaining moments."""
    keys = await sync_to_async(keys_of)(spec, run)
    moments: list[datetime | None] = [*run.moments] or [None]
    size = max(settings.FABRA_MATERIALIZE_CHUNK, (spec.batch_size or 1) * spec.concurrency)
    if run.claims > 1 and run.step < len(moments):
        last_chunk = (spec.batch_size or settings.FABRA_MATERIALIZE_CHUNK) * spec.concurrency
        await _repair_online(spec, await sync_to_async(keys.keys_before)(run.cursor, last_chunk))
    if run.step < len(moments):
        done_count = await sync_to_async(keys.count_until)(run.cursor)
        remaining = await sync_to_async(keys.count)() * (len(moments) - run.step) - done_count
        await sync_to_async(_save)(run, total=run.worked + max(0, remaining))
    with _threads(spec) as executor:
        while run.step < len(moments):
            as_of, is_last = moments[run.step], run.step == len(moments) - 1
            while page := await sync_to_async(keys.keys_after)(run.cursor, size):
                if until():
                    return
                await _compute_chunk(spec, run, page, as_of, executor, is_last=is_last)
            await sync_to_async(_save)(run, step=run.step + 1, cursor="")
        if run.kind == Kind.COMPUTE and run.entity_keys is None:
            gone = await _vanished(spec, run)
            await sync_to_async(_save)(run, total=run.worked + gone.count() - gone.count_until(run.cursor))
            while page := gone.keys_after(run.cursor, size):
                if until():
                    return
                await _compute_chunk(spec, run, page, None, executor, is_last=True)
    await _end(run, run.errors)


async def _vanished(spec: FeatureSpec, run: MaterializationRun) -> ListedKeys:
    """Return the entities whose rows left the source's queryset: computed too, so that no value of them stays for ever.

    A worker may have died between the offline and the online write of the last ones.
    """
    if run.claims > 1 and run.cursor:
        last = FeatureValue.objects.filter(run=run.pk).order_by("-pk")[: settings.FABRA_MATERIALIZE_CHUNK]
        await _repair_online(spec, [key async for key in last.values_list("entity_key", flat=True)])
    return ListedKeys(await sync_to_async(vanished_keys)(spec))


async def _compute_chunk(
    spec: FeatureSpec,
    run: MaterializationRun,
    keys: Sequence[str],
    as_of: datetime | None,
    executor: ThreadPoolExecutor | None,
    *,
    is_last: bool,
) -> None:
    """Compute the first keys, and commit their values together with the progress: the cursor is the last of these."""
    moment, give_up_at, computed = as_of or datetime.now(UTC), time.monotonic() + _CHUNK_S, Computed()
    count, part_size = 0, (spec.batch_size or 1) * spec.concurrency
    most = min(len(keys), max(settings.FABRA_MATERIALIZE_CHUNK, part_size))
    while count < most and (not count or time.monotonic() < give_up_at):
        part = keys[count : min(count + part_size, most)]
        computed.add(await compute_values(spec, part, as_of=moment, executor=executor))
        count, part_size = count + len(part), 2 * part_size
    errors = [{"entity_key": key, "error": reason(error)} for key, error in computed.errors.items()]
    progress = {
        "done": run.done + len(computed.values),
        "failed": run.failed + len(errors),
        "defaulted": run.defaulted + computed.defaulted,
        "cursor": keys[count - 1],
        "errors": (run.errors + errors)[:_KEPT_ERRORS],
        "heartbeat_at": timezone.now(),
    }
    await write_values(
        spec,
        computed.values,
        event_timestamp=moment,
        source=FeatureValue.Source.BACKFILLED if as_of else FeatureValue.Source.MATERIALIZED,
        run_id=run.pk,
        also_save=lambda unchanged: _save(run, unchanged=run.unchanged + unchanged, **progress),
        is_online=is_last,  # in a backfill only the last moment can give the newest values
    )


async def _load(spec: FeatureSpec, run: MaterializationRun, until: Callable[[], bool]) -> None:
    """Write each entity's newest value of the range to the online store; entities are in the order of PostgreSQL.

    A value is of the range if it was computed, or confirmed, in it.
    """
    rows: QuerySet[FeatureValue] = FeatureValue.objects.filter(feature=spec.name, entity=spec.entity.name)
    if run.entity_keys is not None:
        rows = rows.filter(entity_key__in=run.entity_keys)
    if run.end is not None:
        rows = rows.filter(event_timestamp__lte=run.end)
    rows = rows.filter(entity_key__gt=run.cursor)
    remaining = await rows.values("entity_key").distinct().acount()
    await sync_to_async(_save)(run, total=run.done + remaining)
    newest = rows.order_by("entity_key", "-event_timestamp", "-created_at", "-id").distinct("entity_key")
    batch: list[FeatureValue] = []
    async for row in newest.aiterator(chunk_size=settings.FABRA_MATERIALIZE_CHUNK):
        batch.append(row)
        if len(batch) == settings.FABRA_MATERIALIZE_CHUNK:
            await _put_loaded(spec, run, batch)
            batch = []
            if until():
                return
    await _put_loaded(spec, run, batch)
    await sync_to_async(_save)(run, total=run.done)
    await _end(run, [])


async def _put_loaded(spec: FeatureSpec, run: MaterializationRun, batch: list[FeatureValue]) -> None:
    if batch:
        stored = await sync_to_async(stored_values)(batch, until=run.end)
        start = run.start
        found = {row.entity_key: value for row, value in stored if start is None or value.event_timestamp >= start}
        await put_online(spec.entity.name, spec.name, found)
        now, cursor = timezone.now(), batch[-1].entity_key
        await sync_to_async(_save)(run, done=run.done + len(found), cursor=cursor, heartbeat_at=now)


async def _repair_online(spec: FeatureSpec, keys: Sequence[str]) -> None:
    """Write the last chunk online again: its worker may have died between the offline and the online write."""
    rows = FeatureValue.objects.latest_of(spec.entity.name, keys, [spec.name])
    stored = await sync_to_async(stored_values)(rows)
    await put_online(spec.entity.name, spec.name, {row.entity_key: value for row, value in stored})


async def _end(run: MaterializationRun, errors: list[dict[str, str]]) -> None:
    now, has_failed = timezone.now(), bool(errors) and not run.done
    state = State.FAILED if has_failed else State.DONE
    await sync_to_async(_save)(run, state=state, errors=errors, heartbeat_at=now, finished_at=now)


def _save(run: MaterializationRun, **changes: object) -> None:
    """Save the run's progress; raise RunTaken if the run was stopped or claimed by another worker."""
    mine = MaterializationRun.objects.filter(id=run.pk, state=State.RUNNING, claims=run.claims)
    if not mine.update(**changes):
        raise RunTaken
    for name, value in changes.items():
        setattr(run, name, value)


@contextmanager
def _threads(spec: FeatureSpec) -> Iterator[ThreadPoolExecutor | None]:
    """Yield an executor for a synchronous function with `concurrency` above 1; else None, for the caller's thread."""
    if spec.concurrency == 1 or iscoroutinefunction(spec.function):
        yield None
        return
    barrier = Barrier(spec.concurrency)

    def close_connections() -> None:
        barrier.wait()  # so that each thread runs exactly one of these jobs
        connections.close_all()

    with ThreadPoolExecutor(spec.concurrency, thread_name_prefix=f"materialize-{spec.name}") as executor:
        try:
            yield executor
        finally:
            for _ in range(spec.concurrency):
                executor.submit(close_connections)
