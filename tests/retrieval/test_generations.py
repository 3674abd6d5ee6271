"""Another embedding of an index is built beside the one that serves; no update is lost when they change places."""

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F

from common.redis import plain_redis, redis_key
from events.models import Event
from retrieval import tasks, upkeep
from retrieval.checks import check_generations
from retrieval.errors import EmbedderUnavailable, GenerationConflict
from retrieval.evaluation.comparison import compare_generation
from retrieval.evaluation.golden import GoldenRecord, save_golden
from retrieval.generations import lifecycle
from retrieval.indexing.bulk import Draft, index_in_bulk
from retrieval.indexing.documents import delete_document, index_document
from retrieval.models import Chunk, Document, Generation, Index, LexemeCount
from retrieval.search.execute import search_sync
from tests.broker import messages
from tests.model_server import ModelServer
from tests.processes import PROJECT, test_environment, wait_until

OPENAI = "retrieval.embedders.openai.OpenAIEmbedder"


@pytest.fixture
def server(settings: Any) -> Iterator[ModelServer]:
    server = ModelServer()
    settings.OPENAI_BASE_URL, settings.FABRA_MODEL_RETRIES = server.url, 0
    yield server
    server.close()


@pytest.fixture
def model(server: ModelServer) -> str:
    return server.embedding_model(2500)


def fill(count: int) -> Index:
    for number in range(count):
        index_document("docs", f"d{number}", f"# Document {number}\n\nIt tells of topic{number} and birds.")
    return Index.objects.get()


def build(index: Index, model: str, **options: Any) -> Generation:
    generation = lifecycle.open_generation(index, model=model, backend=OPENAI, **options)
    lifecycle.execute_build(generation.pk)
    generation.refresh_from_db()
    return generation


def serving(index: Index) -> Generation:
    assert index.generation is not None
    return index.generation


def found(query: str, top_k: int = 3) -> list[str]:
    return [hit.document_id for hit in search_sync("docs", query, top_k).hits]


def assert_whole(index: Index) -> None:
    """Each generation has the chunks of each document's current version, and the count is right."""
    index.refresh_from_db()
    for generation in index.generations.all():
        assert not lifecycle.outdated_documents(generation).exists()
        stale = Chunk.objects.filter(generation=generation).exclude(document__version=F("version"))
        assert not stale.exists()
    assert index.chunk_count == Chunk.objects.filter(generation=index.generation).count()


@pytest.mark.django_db
def test_another_model_and_dimension_is_built_compared_switched_to_and_back(model: str) -> None:
    index = fill(4)
    first = serving(index)
    other = build(index, model)
    assert (other.state, other.dimension, other.done, other.total) == ("ready", 2500, 4, 4)
    assert search_sync("docs", "topic2").hits[0].semantic_score is not None
    version = index.version

    golden = GoldenRecord(question="What tells of topic3?", expected_documents=["d3"])
    save_golden(index, [golden])
    result = compare_generation(other.pk, ["birds", "topic1"])
    assert (result["queries"], result["golden_questions"], result["with"]) == (2, 1, first.pk)
    assert result["overlap@10"] == 1.0
    assert result["recall@10"] == [1.0, 1.0]
    assert len(result["latency_ms_p50"]) == 2

    lifecycle.switch(other)
    assert_whole(index)
    assert (index.generation, index.version) == (other, version + 1)
    assert found("topic2")[0] == "d2"
    index_document("docs", "d9", "Penguins swim.")
    assert Chunk.objects.get(document__entity_id="d9").generation == other, "the other one follows behind"
    lifecycle.switch(first)
    assert_whole(index)
    assert found("penguins")[0] == "d9"


@pytest.mark.django_db(transaction=True)
def test_changed_documents_are_followed_by_one_task_of_the_queue_for_imports(model: str) -> None:
    """20,000 changed files are no 20,000 tasks before a message of a chat."""
    index = fill(2)
    build(index, model)
    drafts = [Draft(entity_id=f"new{number}", text=f"Penguin {number} swims.") for number in range(33)]
    list(index_in_bulk("docs", [drafts]))
    new = list(Document.objects.filter(entity_id__startswith="new").order_by("entity_id").values_list("pk", flat=True))
    assert [(message.task, message.args, message.queue) for message in messages()] == [
        ("retrieval.tasks.follow_documents", [new], "ingest")
    ]
    windows = iter([False, True])
    assert lifecycle.update_documents(new, until=lambda: next(windows)) == new[32:], "a slice ends between windows"
    tasks.follow_documents(new)
    assert_whole(index)


@pytest.mark.django_db(transaction=True)
def test_a_generation_whose_model_is_down_keeps_no_other_behind(model: str, server: ModelServer) -> None:
    index = fill(1)
    behind, other = build(index, model), lifecycle.open_generation(index, max_tokens=100)
    server.behaviour = "500"
    index_document("docs", "d9", "Penguins swim.")
    tasks.follow_documents([Document.objects.get(entity_id="d9").pk])
    assert list(lifecycle.outdated_documents(behind).values_list("entity_id", flat=True)) == ["d9"]
    assert list(lifecycle.outdated_documents(other).values_list("entity_id", flat=True)) == ["d0"]


@pytest.mark.django_db
def test_a_comparison_goes_on_in_another_task_and_gives_the_same(model: str, settings: Any) -> None:
    index = fill(4)
    other = build(index, model)
    asked = [GoldenRecord(question=f"What tells of topic{n}?", expected_documents=[f"d{n}"]) for n in (1, 2, 3)]
    save_golden(index, asked)
    tasks.compare_generation(other.pk)
    other.refresh_from_db()
    at_once, count = other.comparison, 0
    settings.FABRA_TASK_SLICE_S = -1.0
    tasks.compare_generation(other.pk)
    while left := messages("ingest"):
        plain_redis().delete(redis_key("celery", "ingest"))
        tasks.compare_generation(*left[0].args)
        count += 1
    other.refresh_from_db()
    changing = ("latency_ms_p50", "compared_at")
    assert count == at_once["queries"] + at_once["golden_questions"] - 1 > 0
    assert {k: v for k, v in other.comparison.items() if k not in changing} == {
        k: v for k, v in at_once.items() if k not in changing
    }


@pytest.mark.django_db
def test_other_chunking_of_the_same_model(put: Any) -> None:
    put("a", "# Guide\n\n" + "\n\n".join(f"Sentence {n} of the guide, about topic {n}." * 4 for n in range(20)))
    index = Index.objects.get()
    generation = lifecycle.open_generation(index, max_tokens=100)
    lifecycle.execute_build(generation.pk)
    assert max(Chunk.objects.filter(generation=generation).values_list("token_count", flat=True)) <= 100
    assert Chunk.objects.filter(generation=generation).count() > index.chunk_count
    for wrong in (10, 100_000):
        with pytest.raises(GenerationConflict):
            lifecycle.open_generation(index, max_tokens=wrong)
    with pytest.raises(GenerationConflict, match="made just so"):
        lifecycle.open_generation(index, max_tokens=100)


@pytest.mark.real_model
@pytest.mark.django_db
def test_the_settings_may_change_while_an_index_serves(model: str, settings: Any) -> None:
    fill(2)
    settings.FABRA_EMBEDDER, settings.FABRA_EMBEDDING_MODEL = OPENAI, model
    index_document("docs", "d5", "Penguins swim.")
    record = search_sync("docs", "penguins")
    assert (record.hits[0].document_id, record.flags) == ("d5", ("short",))
    assert record.hits[0].semantic_score
    (message,) = check_generations(databases=["default"])
    assert message.id == "retrieval.W001"
    assert "384 dimensions" in message.msg and "2500 dimensions" in message.msg
    assert "generations docs build" in (message.hint or "")
    assert check_generations() == []
    index_document("new", "a", "Gulls.")
    assert serving(Index.objects.get(name="new")).dimension == 2500


@pytest.mark.real_model
@pytest.mark.django_db
def test_a_model_that_is_not_there_is_said_and_the_index_serves_on(settings: Any) -> None:
    index = fill(1)
    with pytest.raises(EmbedderUnavailable, match="no model 'nonsense'"):
        lifecycle.open_generation(index, model="nonsense")
    settings.FABRA_EMBEDDING_MODEL = "nonsense"
    assert [message.id for message in check_generations(databases=["default"])] == ["retrieval.W001"]
    assert found("topic0") == ["d0"]


@pytest.mark.django_db
def test_a_model_that_changed_its_dimension_is_an_error_and_words_decide(put: Any) -> None:
    put("a", "Penguins.")
    Generation.objects.update(dimension=100)
    assert [message.id for message in check_generations(databases=["default"])] == ["retrieval.E001"]
    assert "semantic_unavailable" in search_sync("docs", "penguins").flags


@pytest.mark.django_db
def test_a_build_waits_for_its_embedder_and_goes_on(model: str, server: ModelServer) -> None:
    index = fill(2)
    generation = lifecycle.open_generation(index, model=model, backend=OPENAI)
    server.behaviour = "500"
    with pytest.raises(EmbedderUnavailable):
        lifecycle.execute_build(generation.pk)
    generation.refresh_from_db()
    assert (generation.state, generation.error) == ("building", "The embedding model answers HTTP 500.")
    with pytest.raises(GenerationConflict, match="not ready"):
        lifecycle.switch(generation)
    assert found("topic1")[0] == "d1"
    server.behaviour = "answer"
    lifecycle.execute_build(generation.pk)
    generation.refresh_from_db()
    assert (generation.state, generation.error) == ("ready", "")


def asked() -> list[tuple[str, int]]:
    """Return what a worker is asked for."""
    return [(message.task, message.args[0]) for message in messages()]


@pytest.mark.django_db
def test_the_sweep_starts_what_nobody_is_at(model: str) -> None:
    generation = lifecycle.open_generation(fill(1), model=model, backend=OPENAI)
    upkeep.pick_up()
    assert asked() == []
    Generation.objects.update(worked_at="2020-01-01T00:00Z")
    upkeep.pick_up()
    upkeep.pick_up()
    assert asked() == [("retrieval.tasks.build_generation", generation.pk)]


@pytest.mark.django_db
def test_the_sweep_has_missing_indexes_built(settings: Any) -> None:
    serves = serving(fill(2))
    upkeep.pick_up()
    assert asked() == [], "the index is too small to need them"
    settings.FABRA_HNSW_WORTH_IT = 2
    upkeep.pick_up()
    assert asked() == [("retrieval.tasks.build_hnsw", serves.pk)]
    Generation.objects.update(has_hnsw=True)
    upkeep.pick_up()
    assert asked() == [("retrieval.tasks.build_hnsw", serves.pk)]


@pytest.mark.django_db(transaction=True)
def test_large_vectors_get_an_index_too_and_dropping_leaves_nothing(model: str, settings: Any) -> None:
    settings.FABRA_HNSW_WORTH_IT = 3
    index = fill(5)
    other = build(index, model)
    assert other.has_hnsw
    assert len(names_of(other)) == 2
    lifecycle.switch(other)
    assert found("topic2")[0] == "d2"
    with pytest.raises(GenerationConflict, match="serves searches"):
        lifecycle.mark_dropped(other)
    lifecycle.switch(serving(index))
    lifecycle.mark_dropped(other)
    lifecycle.execute_drop(other.pk)
    assert names_of(other) == []
    assert not Chunk.objects.filter(generation=other.pk).exists()
    assert not LexemeCount.objects.filter(generation=other.pk).exists()
    assert_whole(index)


def names_of(generation: Generation) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE indexname LIKE %s", [f"chunk_%_{generation.pk}"])
        return [name for (name,) in cursor.fetchall()]


@pytest.mark.django_db(transaction=True)
def test_no_update_is_lost_while_generations_are_built_and_switched(server: ModelServer) -> None:
    index = fill(40)
    model = server.embedding_model(64)
    first, other = serving(index), lifecycle.open_generation(index, model=model, backend=OPENAI)
    is_over = threading.Event()
    newest: dict[str, str] = {}

    def change(worker: int) -> None:
        choose = random.Random(worker)
        number = 0
        try:
            while not is_over.is_set() or number < 10:
                entity_id = f"d{choose.randrange(10) * 4 + worker}"  # each worker has documents of its own
                number += 1
                if choose.random() < 0.2 and newest.get(entity_id, "x"):
                    delete_document("docs", entity_id)
                    newest[entity_id] = ""
                else:
                    newest[entity_id] = f"Text {number} of worker{worker} about {entity_id}."
                    index_document("docs", entity_id, newest[entity_id])
        finally:
            connection.close()

    def switch_about() -> None:
        try:
            lifecycle.execute_build(other.pk)
            for generation in (other, first) * 3:
                generation.refresh_from_db()
                lifecycle.switch(generation)
        finally:
            is_over.set()
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        jobs = [pool.submit(change, worker) for worker in range(4)] + [pool.submit(switch_about)]
        for job in jobs:
            job.result()
    assert len(newest) > 10
    for generation in (other, first):
        lifecycle.switch(Generation.objects.get(pk=generation.pk))
        served = dict(Chunk.objects.filter(generation=generation).values_list("document__entity_id", "text"))
        assert {name: served.get(name, "") for name in newest} == newest
        assert_whole(index)


@pytest.mark.django_db(transaction=True)
def test_a_killed_builder_is_taken_over(server: ModelServer) -> None:
    index = fill(70)
    model = server.embedding_model(64)
    generation = lifecycle.open_generation(index, model=model, backend=OPENAI)
    server.next, server.behaviour = ["answer"] * 2, "hang"  # to what it asks first, and to a part of the documents
    command = ["manage.py", "generations", "docs", "build", "--generation", str(generation.pk), "--workers", "0"]
    builder = subprocess.Popen(
        [sys.executable, *command],
        cwd=PROJECT,
        env=test_environment(OPENAI_BASE_URL=server.url),
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: Generation.objects.get(pk=generation.pk).done > 0)
    print(
        "REQ",
        len(server.requests),
        [len(r["input"]) for r in server.requests],
        Generation.objects.get(pk=generation.pk).done,
    )
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    built = Chunk.objects.filter(generation=generation).count()
    assert 0 < built < 70
    server.reset()
    delete_document("docs", "d0")
    index_document("docs", "d69", "Penguins.")
    lifecycle.execute_build(generation.pk)
    generation.refresh_from_db()
    assert generation.state == "ready"
    assert_whole(index)
    assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_command_builds_compares_switches_and_drops(model: str) -> None:
    index = fill(3)
    first = serving(index)

    def run(*arguments: str) -> str:
        out = StringIO()
        call_command("generations", "docs", *arguments, stdout=out, stderr=StringIO())
        return out.getvalue()

    said = run("build", "--model", model, "--embedder", "openai", "--workers", "0")
    other = Generation.objects.latest("pk")
    assert f"switch {other.pk}" in said
    assert "overlap@10" in run("compare", str(other.pk))
    assert f"#{other.pk} serves" in run("switch", str(other.pk))
    assert "2500 dimensions" in run("list")
    assert "was built anew" in run("rebuild", str(first.pk))
    assert len(names_of(first)) == 2
    with pytest.raises(CommandError, match="serves searches"):
        run("drop", str(other.pk))
    run("switch", str(first.pk))
    assert "is gone" in run("drop", str(other.pk))
    assert run("list").count("#") == 1
    for wrong in (["switch", "999999"], ["build", "--max-tokens", "5"]):
        with pytest.raises(CommandError):
            run(*wrong)


@pytest.mark.django_db
def test_deleting_a_document_removes_it_from_each_generation(model: str) -> None:
    index = fill(3)
    build(index, model)
    delete_document("docs", "d1")
    assert not Chunk.objects.filter(document__entity_id="d1").exists()
    assert_whole(index)
    assert Document.objects.get(entity_id="d1").state == "deleted"
