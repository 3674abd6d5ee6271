"""Materialisation, rows a second, against a bare COPY of the same rows and pipelined HSETs of the same texts."""

import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection

from bench.figures import Goal, Row, Spread, say
from common.redis import async_redis, redis_key
from features.declaration import entity, feature
from features.models import FeatureValue, KnownEntity, MaterializationRun
from features.registry import features
from features.values import StoredValue

_ENTITY = "BenchEntity"
_CHUNK = 500


def declare() -> None:
    """Declare a feature of each kind; their functions cost nothing, so that the store's own work is measured."""

    @entity(name=_ENTITY)
    class BenchEntity:
        bench_id: str

    @feature(entity=BenchEntity, name="bench_batch", batch=True, batch_size=_CHUNK)
    def batch(bench_ids: list[str]) -> dict[str, int]:
        return dict.fromkeys(bench_ids, 7)

    @feature(entity=BenchEntity, name="bench_single")
    def single(bench_id: str) -> int:
        return 7

    @feature(entity=BenchEntity, name="bench_async")
    async def single_async(bench_id: str) -> int:
        return 7


async def measure(*, is_quick: bool) -> list[Row]:
    from chat.definitions import store

    declare()
    keys = [f"entity_{number:06}" for number in range(2_000 if is_quick else 10_000)]
    rounds = 3 if is_quick else 5
    rows = []
    kinds = [("batch of 500", "bench_batch"), ("single, plain", "bench_single"), ("single, async", "bench_async")]
    try:
        for what, name in kinds:
            ours, floor = [], []
            for _ in range(rounds):
                await sync_to_async(_empty)()
                ours.append(len(keys) / await _timed(store.materialize(name, keys)))
                floor.append(len(keys) / await _timed(_bare(name, keys)))
            say(f"materialise: {what}: {len(keys):,} entities, {rounds} rounds in turn with the floor")
            rows.append(
                Row(
                    what=f"materialise: {what}", ours=Spread.of(ours), floor=Spread.of(floor),
                    goal=Goal(ratio=0.3, is_least=True) if name == "bench_batch" else None, unit="/s", has_p95=False,
                )
            )  # fmt: skip
    finally:
        await sync_to_async(_empty)()
        for _, name in kinds:
            del features[name]
    return rows


async def _timed(work: Awaitable[Any]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def _bare(name: str, keys: list[str]) -> None:
    """Write the same rows with nothing around: a COPY and a pipeline for each 500, committed each."""
    client, now = await async_redis(), datetime.now(UTC)
    text = StoredValue(value=7, event_timestamp=now, created_at=now, value_id=1_000_000).to_text()

    def copy(part: list[str]) -> None:
        with connection.cursor() as cursor, cursor.copy(_COPY) as rows:
            for key in part:
                rows.write_row((_ENTITY, key, name, "7", now, now, "materialized"))

    for start in range(0, len(keys), _CHUNK):
        part = keys[start : start + _CHUNK]
        await sync_to_async(copy)(part)
        async with client.pipeline(transaction=False) as pipe:
            for key in part:
                pipe.hset(redis_key("bare", key), name, text)
            await pipe.execute()


_COPY = (
    "COPY features_featurevalue (entity, entity_key, feature, value, event_timestamp, created_at, source) FROM STDIN"
)


def _empty() -> None:
    FeatureValue.objects.filter(entity=_ENTITY).delete()
    MaterializationRun.objects.filter(feature__startswith="bench_").delete()
    KnownEntity.objects.filter(entity=_ENTITY).delete()
