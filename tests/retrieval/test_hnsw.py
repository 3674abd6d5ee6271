"""A search has an HNSW while another one is built, and a build that dies is taken up."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from psycopg.errors import DeadlockDetected, DiskFull

from common.redis import plain_redis, redis_key
from retrieval import tasks, upkeep
from retrieval.dispatch import enqueue_hnsw_build
from retrieval.generations import hnsw, lifecycle
from retrieval.indexing.documents import index_document
from retrieval.models import Chunk, Generation, Index
from tests.broker import messages
from tests.processes import test_environment, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("embedder")]


@pytest.fixture
def generation() -> Generation:
    hnsw.drop_orphans()  # other tests'
    for number in range(3):
        index_document("docs", f"d{number}", f"Document {number} tells of birds.")
    generation = Generation.objects.get()
    hnsw.build_hnsw(generation.pk)
    return generation


def names() -> dict[str, bool]:
    """Return the indexes of generations, by name, each with whether it is complete."""
    return {name: valid for stored in hnsw.stored_indexes().values() for name, valid in stored.valid.items()}


def both(generation: Generation) -> dict[str, bool]:
    return {hnsw.gin_name(generation.pk): True, hnsw.hnsw_name(generation.pk): True}


def file_of(name: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_filenode(%s::regclass)", [name])
        return int(cursor.fetchone()[0])


@contextmanager
def other_connection() -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(test_environment()["DATABASE_URL"], autocommit=True) as other:
        yield other


@contextmanager
def unfinished_change() -> Iterator[psycopg.Connection[Any]]:
    """Hold a transaction that changes chunks, for which every build waits."""
    with other_connection() as other:
        other.execute("BEGIN")
        other.execute("UPDATE retrieval_chunk SET token_count = token_count")
        yield other
        other.execute("ROLLBACK")


@contextmanager
def reader() -> Iterator[None]:
    """Hold a transaction that has read chunks, as a backup does."""
    with other_connection() as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM retrieval_chunk LIMIT 1")
        yield
        other.execute("ROLLBACK")


def building_backend() -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
            "AND query LIKE 'CREATE INDEX CONCURRENTLY%%'"
        )
        row = cursor.fetchone()
    return row[0] if row else None


@contextmanager
def in_thread(work: Any, *args: Any, **kwargs: Any) -> Iterator[list[BaseException]]:
    """Do the work in a thread with a connection of its own, and yield what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work(*args, **kwargs)
        except Exception as error:
            raised.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    yield raised
    thread.join(60)
    assert not thread.is_alive()


def test_the_former_index_serves_until_the_new_one_stands(generation: Generation) -> None:
    before = {name: file_of(name) for name in both(generation)}
    seen: list[dict[str, bool]] = []

    def look(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("CREATE INDEX CONCURRENTLY"):
            seen.append(names())
        return execute(sql, *rest)

    with connection.execute_wrapper(look):
        hnsw.build_hnsw(generation.pk)
        assert seen == [], "they stand"
        hnsw.build_hnsw(generation.pk, is_rebuild=True)
    assert seen == [both(generation)] * 2
    assert names() == both(generation)
    assert all(file_of(name) != before[name] for name in both(generation))


def test_a_killed_rebuild_leaves_the_former_index_and_is_taken_up(generation: Generation) -> None:
    before = file_of(hnsw.hnsw_name(generation.pk))
    with unfinished_change(), in_thread(hnsw.build_hnsw, generation.pk, is_rebuild=True) as raised:
        backend = wait_until(building_backend)
        assert hnsw.generations_to_index() == [], "somebody is at it"
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [backend])
        wait_until(lambda: raised)
    half = {f"{hnsw.gin_name(generation.pk)}{hnsw.NEXT}": False}
    assert names() == both(generation) | half
    assert file_of(hnsw.hnsw_name(generation.pk)) == before
    wait_until(lambda: hnsw.generations_to_index() == [generation.pk])
    upkeep.pick_up()
    assert [(message.task, message.args) for message in messages()] == [("retrieval.tasks.build_hnsw", [generation.pk])]
    hnsw.build_hnsw(generation.pk)
    assert names() == both(generation)
    assert file_of(hnsw.hnsw_name(generation.pk)) != before, "it is the rebuild that is taken up"
    assert hnsw.generations_to_index() == []


def test_a_cancelled_rebuild_is_said_and_tried_again_after_a_rest(generation: Generation) -> None:
    before = file_of(hnsw.hnsw_name(generation.pk))
    with unfinished_change() as other, in_thread(hnsw.build_hnsw, generation.pk, is_rebuild=True) as raised:
        backend = wait_until(building_backend)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_cancel_backend(%s)", [backend])
        other.execute("ROLLBACK")  # for which dropping what was half built waits
    assert raised
    assert names() == both(generation)
    generation.refresh_from_db()
    assert "canceling statement" in generation.error
    assert hnsw.generations_to_index() == []
    Generation.objects.update(worked_at="2020-01-01T00:00Z")
    assert hnsw.generations_to_index() == [generation.pk]
    hnsw.build_hnsw(generation.pk)
    assert file_of(hnsw.hnsw_name(generation.pk)) != before
    generation.refresh_from_db()
    assert (generation.error, hnsw.generations_to_index()) == ("", [])


def test_a_wanted_rebuild_outlives_the_broker(generation: Generation) -> None:
    enqueue_hnsw_build(generation.pk, is_rebuild=True)
    plain_redis().delete(redis_key("celery", "ingest"))
    upkeep.pick_up()
    assert [(message.task, message.args) for message in messages()] == [("retrieval.tasks.build_hnsw", [generation.pk])]


def test_a_rebuild_that_is_wanted_during_a_build_is_still_to_come(generation: Generation) -> None:
    hnsw.drop_indexes(generation.pk)

    def want(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("CREATE INDEX CONCURRENTLY"):
            Generation.objects.update(is_rebuild_wanted=True)
        return execute(sql, *rest)

    with connection.execute_wrapper(want):
        hnsw.build_hnsw(generation.pk)
    assert hnsw.generations_to_index() == [generation.pk]
    built = file_of(hnsw.hnsw_name(generation.pk))
    hnsw.build_hnsw(generation.pk)
    assert file_of(hnsw.hnsw_name(generation.pk)) != built
    assert hnsw.generations_to_index() == []


def test_an_index_that_stood_when_its_builder_died_takes_its_place(generation: Generation) -> None:
    name = hnsw.hnsw_name(generation.pk)
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER INDEX {name} RENAME TO {name}{hnsw.NEXT}")
    built = file_of(f"{name}{hnsw.NEXT}")
    assert hnsw.generations_to_index() == [generation.pk]
    hnsw.build_hnsw(generation.pk)
    assert (names(), file_of(name)) == (both(generation), built)
    with connection.cursor() as cursor:  # it died after the change of names
        cursor.execute(f"CREATE INDEX {name}{hnsw.FORMER} ON retrieval_chunk (id)")
    assert hnsw.generations_to_index() == [generation.pk]
    hnsw.build_hnsw(generation.pk)
    assert (names(), file_of(name)) == (both(generation), built)


def test_a_deadlock_with_analyze_is_said_and_the_build_begins_anew(
    generation: Generation, caplog: pytest.LogCaptureFixture
) -> None:
    """The build waits for the transaction, whose ANALYZE waits for the build: PostgreSQL ends who waited first."""
    with unfinished_change() as other, in_thread(hnsw.build_hnsw, generation.pk, is_rebuild=True) as raised:
        wait_until(building_backend)
        other.execute("ANALYZE retrieval_chunk")
        other.execute("ROLLBACK")
    assert raised == []
    assert names() == both(generation)
    assert "ended in a deadlock, with an ANALYZE by hand, say; it begins anew." in caplog.text


def test_a_build_that_deadlocks_end_each_time_is_taken_up_without_a_rest(generation: Generation) -> None:
    before = file_of(hnsw.hnsw_name(generation.pk))

    def deadlock(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("CREATE INDEX CONCURRENTLY"):
            raise OperationalError("deadlock detected") from DeadlockDetected()
        return execute(sql, *rest)

    with connection.execute_wrapper(deadlock), pytest.raises(OperationalError):
        hnsw.build_hnsw(generation.pk, is_rebuild=True)
    generation.refresh_from_db()
    assert generation.error == hnsw.DEADLOCKED
    upkeep.pick_up()
    assert [(message.task, message.args) for message in messages()] == [("retrieval.tasks.build_hnsw", [generation.pk])]
    hnsw.build_hnsw(generation.pk)
    generation.refresh_from_db()
    assert generation.error == ""
    assert file_of(hnsw.hnsw_name(generation.pk)) != before


def test_a_full_disk_is_said_leaves_no_half_index_and_is_not_tried_again_at_once(
    generation: Generation, settings: Any
) -> None:
    settings.FABRA_HNSW_WORTH_IT = 2
    hnsw.drop_indexes(generation.pk)
    Generation.objects.update(has_hnsw=False)

    def fill_disk(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("CREATE INDEX CONCURRENTLY"):
            execute(sql, *rest)
            raise OperationalError("could not extend file") from DiskFull()
        return execute(sql, *rest)

    with connection.execute_wrapper(fill_disk), pytest.raises(OperationalError):
        hnsw.build_hnsw(generation.pk)
    assert names() == {}
    generation.refresh_from_db()
    assert "could not extend file" in generation.error
    assert hnsw.generations_to_index() == []
    Generation.objects.update(worked_at="2020-01-01T00:00Z")
    assert hnsw.generations_to_index() == [generation.pk]
    hnsw.build_hnsw(generation.pk)
    generation.refresh_from_db()
    assert (generation.has_hnsw, generation.error) == (True, "")


def test_what_is_left_of_a_generation_that_is_gone_is_dropped(generation: Generation) -> None:
    Index.objects.update(generation=None)
    Chunk.objects.all().delete()
    Generation.objects.all().delete()
    assert len(names()) == 2
    with reader():
        upkeep.pick_up()
        upkeep.pick_up()  # the second one leaves it to the first, and neither waits for the reader
        assert names()
    wait_until(lambda: not names())


def test_a_drop_waits_for_no_backup_and_its_indexes_go_afterwards(generation: Generation) -> None:
    Index.objects.update(generation=None)
    lifecycle.mark_dropped(generation)
    with reader(), in_thread(lifecycle.execute_drop, generation.pk, wait_s=0.1) as raised:
        wait_until(lambda: not Generation.objects.exists())
        assert names(), "PostgreSQL waits for whoever reads the table"
    assert raised == []
    upkeep.pick_up()
    wait_until(lambda: not names())


def test_a_worker_process_does_not_wait_for_a_build(generation: Generation) -> None:
    before = file_of(hnsw.hnsw_name(generation.pk))
    with unfinished_change():
        Generation.objects.update(is_rebuild_wanted=True)
        tasks.build_hnsw(generation.pk)
        wait_until(building_backend)
        tasks.build_hnsw(generation.pk)  # a second one finds it being built
    wait_until(lambda: names() == both(generation) and file_of(hnsw.hnsw_name(generation.pk)) != before)
    wait_until(lambda: not hnsw.is_held(hnsw.hnsw_name(generation.pk)))


def test_a_build_of_a_generation_goes_on_in_another_task(generation: Generation, settings: Any) -> None:
    settings.FABRA_HNSW_WORTH_IT = 2
    other = lifecycle.open_generation(Index.objects.get(), max_tokens=100)
    settings.FABRA_TASK_SLICE_S = -1.0
    tasks.build_generation(other.pk)
    assert [(message.task, message.args) for message in messages()] == [
        ("retrieval.tasks.build_generation", [other.pk])
    ]
    assert not Chunk.objects.filter(generation=other).exists()
    settings.FABRA_TASK_SLICE_S = 15.0
    tasks.build_generation(other.pk)
    wait_until(lambda: Generation.objects.get(pk=other.pk).state == "ready")
    assert Generation.objects.get(pk=other.pk).has_hnsw
    lifecycle.mark_dropped(other)
    settings.FABRA_TASK_SLICE_S = -1.0
    tasks.drop_generation(other.pk)
    assert Generation.objects.filter(pk=other.pk).exists()
    assert [message.task for message in messages()][-1] == "retrieval.tasks.drop_generation"
