"""Request a materialisation: now, for a slot of the schedule, or over a range of past time."""

from collections.abc import Sequence
from datetime import UTC, datetime

from asgiref.sync import sync_to_async
from django.db import IntegrityError, transaction
from django.utils import timezone

from common.durations import Duration, parse_duration
from common.errors import InvalidInput
from common.validation import check_identity
from features import registry
from features.materialization.runs import execute_run
from features.models import MaterializationRun
from features.registry import FeatureSpec

MAX_MOMENTS = 100_000
WAIT_S = 24 * 3600.0
"""How long a run waits for another run of its feature."""


async def materialize(
    feature: str,
    entity_ids: Sequence[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    every: Duration | None = None,
) -> MaterializationRun:
    """Materialise a feature for the given or all known entities; return the finished run.

    With `every` it is a backfill: computed as of each such moment from `start` to `end` (default: now), for a
    function that takes `as_of`. With `start` or `end` alone nothing is computed: the newest offline value of each
    entity that was true in that range is loaded into the online store. Raise NotFound for an undeclared feature
    and InvalidInput for what cannot be computed.
    """
    run = await sync_to_async(request_run)(feature, entity_ids, start, end, every)
    await sync_to_async(execute_run)(run.pk, wait_s=WAIT_S)
    await run.arefresh_from_db()
    return run


def request_run(
    feature: str,
    entity_ids: Sequence[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    every: Duration | None = None,
) -> MaterializationRun:
    """Create a queued run; raise NotFound or InvalidInput as `materialize` does."""
    spec = registry.features.require(feature)
    if spec.on_demand:
        raise InvalidInput(f"The feature {feature!r} is computed at each read and never stored: nothing can be run.")
    kind = MaterializationRun.Kind.COMPUTE
    if every is not None:
        kind, end = MaterializationRun.Kind.BACKFILL, end or timezone.now()
    elif start is not None or end is not None:
        kind = MaterializationRun.Kind.LOAD
    if kind != MaterializationRun.Kind.LOAD and spec.is_pushed:
        origin = "computed by its events" if spec.trigger else f"given by its {spec.source}"
        raise InvalidInput(f"The feature {feature!r} is {origin}; give start and end to load values.")
    run = MaterializationRun(
        feature=feature,
        kind=kind,
        start=start,
        end=end,
        every=parse_duration(every, "every"),
        entity_keys=sorted({check_identity(key, spec.entity.key) for key in entity_ids})
        if entity_ids is not None
        else None,
    )
    _check_range(spec, run)
    run.save()
    return run


def open_slot(feature: str, now: datetime, every_s: float) -> MaterializationRun | None:
    """Create the run of the slot that contains `now`; None if it exists, or an earlier slot is unfinished."""
    slot = datetime.fromtimestamp(now.timestamp() // every_s * every_s, UTC)
    if MaterializationRun.objects.all().unfinished().filter(feature=feature, slot__isnull=False).exists():
        return None
    try:
        with transaction.atomic():
            return MaterializationRun.objects.create(feature=feature, slot=slot)
    except IntegrityError:
        return None


def _check_range(spec: FeatureSpec, run: MaterializationRun) -> None:
    for name, moment in (("start", run.start), ("end", run.end)):
        if moment is not None and (not isinstance(moment, datetime) or moment.tzinfo is None):
            raise InvalidInput(f"{name} must be a datetime with a timezone.")
    if run.start and run.end and run.start > run.end:
        raise InvalidInput("start must not be after end.")
    if run.kind != MaterializationRun.Kind.BACKFILL:
        return
    assert run.end is not None
    assert run.every is not None
    if not spec.takes_as_of:
        keys = "rows" if spec.queryset else f"{spec.entity.key}{'s' if spec.is_batch else ''}"
        raise InvalidInput(
            f"The feature {spec.name!r} cannot be computed as of a past time: its function takes no `as_of`. Declare "
            f"it as {spec.function.__name__}({keys}, as_of)."
        )
    if run.start is None:
        raise InvalidInput("A backfill needs a start.")
    if run.end > timezone.now():
        raise InvalidInput("A backfill must end by now: nothing is true yet in the future.")
    if (run.end - run.start) // run.every >= MAX_MOMENTS:
        raise InvalidInput(f"A backfill has at most {MAX_MOMENTS:,} moments; take a longer `every`.")
