"""Work a materialisation run off: one worker for each feature, each value once, from where the last one died."""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from inspect import iscoroutinefunction
from threading import Barrier

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.db import DatabaseError, connections
from django.db.models import QuerySet
from django.utils import timezone

from common.locks import held
from features import registry
from features.compute import Computed, compute_values, reason
from features.models import FeatureValue, KnownEntity, MaterializationRun
from features.registry import FeatureSpec
from features.value_writer import put_online, write_values
from features.values import StoredValue

logger = logging.getLogger(__name__)

_CHUNK_S = 1.0
"""A chunk ends after this long, so that progress is seen and little is lost, however slow the function is."""
_KEPT_ERRORS = 20
_HEARTBEAT_S = 5.0

State = MaterializationRun.State
Kind = MaterializationRun.Kind


class RunTaken(Exception):
    """The run was stopped, or another worker has it: what this one was at is rolled back."""


def lock_name(feature: str) -> str:
    """Return the lock of whoever works at a run of the feature."""
    return f"materialize:{feature}"


def work_off(run_id: int, *, wait_s: float = 0.0, work_s: float = float("inf")) -> MaterializationRun | None:
    """Work a run off from its cursor on and return it; None if it is not this worker's to do.

    One run of a feature is worked off at a time, so that `concurrency` holds across workers. After `work_s` it
    returns with the run unfinished; another call goes on.
    """
    feature = MaterializationRun.objects.values_list("feature", flat=True).get(id=run_id)
    with held(lock_name(feature), wait_s=wait_s) as is_mine:
        run = MaterializationRun.objects.all().claim(run_id) if is_mine else None
        if run is None:
            return None
        try:
            async_to_sync(_work)(run, time.monotonic() + work_s)
        except RunTaken:
            logger.info("The run %s was stopped, or is another worker's now.", run)
        except DatabaseError:
            raise  # the run is taken up again when PostgreSQL is back
        except Exception as error:
            _save(run, state=State.FAILED, finished_at=timezone.now(), errors=[{"error": repr(error)[:500]}])
            raise
    return run


async def _work(run: MaterializationRun, until: float) -> None:
    spec = registry.features.get(run.feature)
    if spec is None:
        await _end(run, [{"error": "No such feature is declared in this process."}])
        return
    heart = asyncio.create_task(_beat(run))
    try:
        if run.kind == Kind.LOAD:
            await _load(spec, run)
        else:
            await _compute(spec, run, until)
    finally:
        heart.cancel()


async def _beat(run: MaterializationRun) -> None:
    """Show that the run's worker lives, however slow the feature's function is."""
    while True:
        await asyncio.sleep(_HEARTBEAT_S)
        await MaterializationRun.objects.filter(id=run.pk).aupdate(heartbeat_at=timezone.now())


async def _compute(spec: FeatureSpec, run: MaterializationRun, until: float) -> None:
    """Compute the remaining entities, for a backfill at each of its remaining moments."""
    keys = await sync_to_async(_keys)(spec, run)
    moments: list[datetime | None] = [*run.moments] or [None]
    place = sum(key <= run.cursor for key in keys)
    if run.claims > 1:
        await _heal(
            spec, keys[max(0, place - (spec.batch_size or settings.FABRA_MATERIALIZE_CHUNK) * spec.concurrency) : place]
        )
    remaining = len(keys) * max(0, len(moments) - run.step) - place
    await sync_to_async(_save)(run, total=run.worked + max(0, remaining))
    with _threads(spec) as executor:
        while run.step < len(moments) and keys:
            as_of = moments[run.step]
            while place < len(keys):
                if time.monotonic() > until:
                    return
                place += await _compute_chunk(spec, run, keys[place:], as_of, executor, is_last=as_of is moments[-1])
            place = 0
            await sync_to_async(_save)(run, step=run.step + 1, cursor="")
    await _end(run, run.errors)


async def _compute_chunk(
    spec: FeatureSpec,
    run: MaterializationRun,
    keys: Sequence[str],
    as_of: datetime | None,
    executor: ThreadPoolExecutor | None,
    *,
    is_last: bool,
) -> int:
    """Compute the first keys; commit their values together with the progress. Return how many they were."""
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
        also_save=lambda: _save(run, **progress),
        is_online=is_last,  # of a backfill only the last moment can be the newest
    )
    return count


async def _load(spec: FeatureSpec, run: MaterializationRun) -> None:
    """Put the newest value of each entity that was true in the range online; the entities are in PostgreSQL's order."""
    rows: QuerySet[FeatureValue] = FeatureValue.objects.filter(feature=spec.name, entity=spec.entity.name)
    if run.entity_keys is not None:
        rows = rows.filter(entity_key__in=run.entity_keys)
    if run.start is not None:
        rows = rows.filter(event_timestamp__gte=run.start)
    if run.end is not None:
        rows = rows.filter(event_timestamp__lte=run.end)
    rows = rows.filter(entity_key__gt=run.cursor)
    remaining = await rows.values("entity_key").distinct().acount()
    await sync_to_async(_save)(run, total=run.done + remaining)
    newest = rows.order_by("entity_key", "-event_timestamp", "-created_at", "-id").distinct("entity_key")
    batch: dict[str, StoredValue] = {}
    async for row in newest.aiterator(chunk_size=settings.FABRA_MATERIALIZE_CHUNK):
        batch[row.entity_key] = StoredValue.of_row(row)
        if len(batch) == settings.FABRA_MATERIALIZE_CHUNK:
            await _put_loaded(spec, run, batch)
            batch = {}
    await _put_loaded(spec, run, batch)
    await _end(run, [])


async def _put_loaded(spec: FeatureSpec, run: MaterializationRun, batch: dict[str, StoredValue]) -> None:
    if batch:
        await put_online(spec.entity.name, spec.name, batch)
        now = timezone.now()
        await sync_to_async(_save)(run, done=run.done + len(batch), cursor=list(batch)[-1], heartbeat_at=now)


async def _heal(spec: FeatureSpec, keys: Sequence[str]) -> None:
    """Put the last chunk online once more: its worker may have died between the two stores."""
    rows = FeatureValue.objects.latest_of(spec.entity.name, keys, [spec.name])
    await put_online(spec.entity.name, spec.name, {row.entity_key: StoredValue.of_row(row) async for row in rows})


def _keys(spec: FeatureSpec, run: MaterializationRun) -> list[str]:
    keys = run.entity_keys
    if keys is None:
        keys = KnownEntity.objects.remembered(spec.entity.name).values_list("entity_key", flat=True)
    # Sorted here, not by the database's collation: the cursor is compared as Python compares.
    return sorted(set(keys))


async def _end(run: MaterializationRun, errors: list[dict[str, str]]) -> None:
    now, nothing_worked = timezone.now(), bool(errors) and not run.done
    state = State.FAILED if nothing_worked else State.DONE
    await sync_to_async(_save)(run, state=state, errors=errors, heartbeat_at=now, finished_at=now)


def _save(run: MaterializationRun, **changes: object) -> None:
    """Write how far the run is; raise RunTaken if it is no longer this worker's."""
    mine = MaterializationRun.objects.filter(id=run.pk, state=State.RUNNING, claims=run.claims)
    if not mine.update(**changes):
        raise RunTaken
    for name, value in changes.items():
        setattr(run, name, value)


@contextmanager
def _threads(spec: FeatureSpec) -> Iterator[ThreadPoolExecutor | None]:
    """Yield threads for a plain function that may run several times at once; None: the caller's own does."""
    if spec.concurrency == 1 or iscoroutinefunction(spec.function):
        yield None
        return
    everyone = Barrier(spec.concurrency)

    def close_connections() -> None:
        everyone.wait()  # so that no thread takes two of these jobs
        connections.close_all()

    with ThreadPoolExecutor(spec.concurrency, thread_name_prefix=f"materialize-{spec.name}") as executor:
        try:
            yield executor
        finally:
            for _ in range(spec.concurrency):
                executor.submit(close_connections)
