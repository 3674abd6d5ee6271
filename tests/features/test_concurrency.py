"""Who may run at once: one worker for a slot, `concurrency` calls for a feature."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from contexts.store import FeatureStore
from features.declaration import entity, feature
from features.materialization.requests import open_slot
from features.models import FeatureValue, MaterializationRun

store = FeatureStore()
KEYS = [f"a{number:02}" for number in range(24)]


@pytest.fixture
def Ant() -> type:  # noqa: N802
    @entity(store)
    class Ant:
        ant_id: str

    return Ant


@pytest.mark.django_db(transaction=True)
def test_however_many_schedulers_ask_a_slot_is_opened_once() -> None:
    start, now = threading.Barrier(4), timezone.now()

    def ask(feature: str) -> MaterializationRun | None:
        try:
            start.wait()
            return open_slot(feature, now, 60.0)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as schedulers:
        for number in range(10):
            opened = list(schedulers.map(ask, [f"f{number}"] * 4))
            assert sum(run is not None for run in opened) == 1
    assert MaterializationRun.objects.count() == 10


@pytest.mark.django_db
@pytest.mark.parametrize("declared", [{}, {"concurrency": 3}])
def test_an_async_function_is_called_so_often_at_once(Ant: type, declared: dict[str, int]) -> None:  # noqa: N803
    running, most = 0, 0

    @feature(entity=Ant, **declared)
    async def load(ant_id: str) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return 1

    assert async_to_sync(store.materialize)("load", KEYS).done == len(KEYS)
    assert most == declared.get("concurrency", 16)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("concurrency", [None, 4])
def test_a_plain_function_gets_threads_and_their_connections_end(Ant: type, concurrency: int | None) -> None:  # noqa: N803
    lock, running, most, threads = threading.Lock(), 0, 0, set()
    backends: set[int] = set()

    @feature(entity=Ant, concurrency=concurrency)
    def load(ant_id: str) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            threads.add(threading.get_ident())
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            backends.add(cursor.fetchone()[0])
        time.sleep(0.005)
        with lock:
            running -= 1
        return 1

    assert async_to_sync(store.materialize)("load", KEYS).done == len(KEYS)
    assert most == len(threads) == len(backends) == (concurrency or 1)
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        own = cursor.fetchone()[0]
        for _ in range(3000):  # PostgreSQL ends a backend shortly after its client left
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)", [list(backends - {own})])
            if not (left := cursor.fetchone()[0]):
                break
            time.sleep(0.02)
        assert left == 0


@pytest.mark.django_db
def test_several_batches_run_at_once(Ant: type) -> None:  # noqa: N803
    running, most = 0, 0

    @feature(entity=Ant, batch=True, batch_size=4, concurrency=2)
    async def load(ant_ids: list[str]) -> list[int]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return [1 for _ in ant_ids]

    assert async_to_sync(store.materialize)("load", KEYS).done == len(KEYS)
    assert most == 2
    assert FeatureValue.objects.count() == len(KEYS)


@pytest.mark.django_db
def test_open_pages_are_told_how_far_a_run_is(admin_client: Client, client: Client) -> None:
    run = MaterializationRun.objects.create(
        feature="load", state="running", total=10_000, done=2_500, failed=1, started_at=timezone.now()
    )
    url = "/admin/features/materializationrun/progress/"
    told = admin_client.get(url, {"ids": f"{run.pk},x,,99999999999999999999,-1"}).json()["runs"]
    assert list(told) == [str(run.pk)]
    assert (told[str(run.pk)]["percent"], told[str(run.pk)]["is_finished"]) == (25.01, False)
    assert told[str(run.pk)]["label"].startswith("2,501 of 10,000, 1 failed · ")
    assert client.get(url, {"ids": run.pk}).status_code == 302
    page = admin_client.get(f"/admin/features/materializationrun/{run.pk}/change/").content.decode()
    assert f'data-fb-run="{run.pk}"' in page
    assert "admin/runs.js" in page
