"""A document changes in one commit: the new text is found at once, the old one never again."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from psycopg.errors import DiskFull

from common.errors import InvalidInput
from events.models import Event
from retrieval.errors import DocumentNotFound, DocumentTooLarge, EmbedderUnavailable, IndexNotFound
from retrieval.generations import hnsw
from retrieval.indexing.documents import delete_document, index_document
from retrieval.models import Chunk, Document, DocumentVersion, Generation, Index
from retrieval.search.execute import search_sync
from tests.plans import indexes_give_the_order

pytestmark = pytest.mark.django_db

LONG = "# Guide\n\n" + "\n\n".join(f"## Part {n}\n\n" + f"Sentence {n} about topic {n}. " * 25 for n in range(12))


def found(query: str) -> list[str]:
    return [hit.content for hit in search_sync("docs", query, 10).hits]


def test_an_update_replaces_the_old_text(put: Any) -> None:
    put("a", "Penguins live in the south.")
    version = Index.objects.get().version
    result = put("a", "Penguins live in the zoo.")
    assert (result.version, result.is_changed, result.chunk_count) == (2, True, 1)
    assert found("Where do penguins live?") == ["Penguins live in the zoo."]
    assert Index.objects.get().version == version + 1
    assert [version.text for version in DocumentVersion.objects.order_by("number")] == [
        "Penguins live in the south.",
        "Penguins live in the zoo.",
    ]


def test_the_same_again_changes_nothing(put: Any) -> None:
    put("a", "Penguins.", {"k": 1})
    before = Index.objects.get().version
    result = put("a", "Penguins.", {"k": 1})
    assert (result.is_changed, result.version, result.embedded_count) == (False, 1, 0)
    assert Index.objects.get().version == before


def test_only_what_changed_is_embedded(put: Any) -> None:
    first = put("a", LONG)
    assert first.chunk_count >= 12
    edited = put("a", LONG.replace("Sentence 5 about topic 5. ", "Sentence 5 about penguins. ", 1))
    assert edited.embedded_count <= 3
    assert put("a", LONG, {"category": "new"}).embedded_count <= 3
    assert put("a", LONG, {"category": "newer"}).embedded_count == 0
    assert search_sync("docs", "topic 5", filters={"category": "newer"}).hits
    assert not search_sync("docs", "topic 5", filters={"category": "new"}).hits


def test_a_deleted_document_is_gone_from_searches_and_kept_as_evidence(put: Any) -> None:
    put("a", "Penguins.")
    put("b", "Gulls.")
    delete_document("docs", "a")
    assert found("Penguins") == ["Gulls."]
    assert Index.objects.get().chunk_count == 1 == Chunk.objects.count()
    assert Document.objects.get(entity_id="a").state == "deleted"
    assert DocumentVersion.objects.filter(document__entity_id="a").count() == 1
    with pytest.raises(DocumentNotFound):
        delete_document("docs", "a")
    with pytest.raises(IndexNotFound):
        delete_document("nothing", "a")
    assert put("a", "Penguins again.").version == 2


def test_a_later_state_is_not_overwritten_by_an_earlier_one(put: Any) -> None:
    now = datetime.now(UTC)
    put("a", "new", occurred_at=now)
    late = put("a", "old", occurred_at=now - timedelta(minutes=1))
    assert late.is_superseded
    assert found("new") == ["new"]


def test_store_index_echoes_no_event_and_a_saved_row_makes_one(put: Any) -> None:
    put("a", "Penguins.")
    assert not Event.objects.exists()
    document = Document.objects.get()
    document.text = "Gulls."
    document.save()
    event = Event.objects.get()
    assert (event.event_type, event.entity_id, event.payload["content"]) == ("doc_updated", "a", "Gulls.")
    assert found("birds") == ["Penguins."]  # until the event is processed


def test_when_the_embedder_fails_the_previous_version_serves_on(put: Any, embedder: Any) -> None:
    put("a", "Penguins.")

    embedder.failure = EmbedderUnavailable
    with pytest.raises(EmbedderUnavailable):
        put("a", "Gulls.")
    assert Document.objects.get().text == "Penguins."
    assert Chunk.objects.get().text == "Penguins."


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"text": ""}, InvalidInput),
        ({"text": " \n"}, InvalidInput),
        ({"text": "a\x00b"}, InvalidInput),
        ({"text": "\ud800"}, InvalidInput),
        ({"text": 5}, InvalidInput),
        ({"text": "x" * 1_000_001}, DocumentTooLarge),
        ({"entity_id": ""}, InvalidInput),
        ({"entity_id": "x" * 256}, InvalidInput),
        ({"index_name": "\x00"}, InvalidInput),
        ({"metadata": []}, InvalidInput),
        ({"metadata": {"a": float("inf")}}, InvalidInput),
        ({"metadata": {"a": {"b\x00": 1}}}, InvalidInput),
    ],
)
def test_what_cannot_be_stored_is_refused_whole(fields: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        index_document(**{"index_name": "docs", "entity_id": "a", "text": "text", **fields})
    assert not Document.objects.exists()
    assert not Index.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_readers_see_one_version_whole_while_writers_race(put: Any) -> None:
    texts = {name: LONG.replace("about", f"about {name}") for name in ("red", "blue")}
    put("a", texts["red"])

    def write(number: int) -> None:
        try:
            put("a", texts["red" if number % 2 else "blue"])
        finally:
            connection.close()

    def read(number: int) -> set[str]:
        try:
            hits = search_sync("docs", "Sentence about topic", 50).hits
            return {colour for hit in hits for colour in texts if f"about {colour}" in hit.content}
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        writes = [pool.submit(write, number) for number in range(20)]
        reads = [pool.submit(read, number) for number in range(60)]
        for done in writes:
            done.result()
        seen = [done.result() for done in reads]
    assert all(len(colours) == 1 for colours in seen)
    index = Index.objects.get()
    assert index.chunk_count == Chunk.objects.count()
    versions = list(DocumentVersion.objects.order_by("number").values_list("number", flat=True))
    assert versions == list(range(1, len(versions) + 1))


@pytest.mark.real_model
@pytest.mark.django_db(transaction=True)
def test_the_hnsw_index_is_built_and_used(put: Any) -> None:
    put("a", "Penguins live in the south.")
    generation = Generation.objects.get()
    hnsw.build_hnsw(generation.pk)
    generation.refresh_from_db()
    assert generation.has_hnsw
    with indexes_give_the_order(), connection.cursor() as cursor:
        cursor.execute(
            f"EXPLAIN SELECT id FROM retrieval_chunk WHERE generation_id = {generation.pk} "
            f"ORDER BY embedding::halfvec(384) <=> array_fill(0.1, ARRAY[384])::vector::halfvec(384) LIMIT 5"
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert hnsw.hnsw_name(generation.pk) in plan


@pytest.mark.django_db(transaction=True)
def test_a_build_goes_on_alone_where_processes_cannot_share_memory(put: Any) -> None:
    put("a", "Penguins live in the south.")
    generation = Generation.objects.get()
    settings: list[tuple[str, ...]] = []

    def refuse_to_share(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("CREATE INDEX") and "USING hnsw" in sql:
            with connection.cursor() as cursor:
                names = ("max_parallel_maintenance_workers", "maintenance_work_mem")
                settings.append(tuple(_setting(cursor, name) for name in names))
            if settings[-1][0] != "0":
                raise OperationalError("could not resize shared memory segment") from DiskFull()
        return execute(sql, *rest)

    with connection.cursor() as cursor:
        before = [_setting(cursor, name) for name in ("max_parallel_maintenance_workers", "maintenance_work_mem")]
        cursor.execute("SET maintenance_work_mem = '1MB'")
        with connection.execute_wrapper(refuse_to_share):
            hnsw.build_hnsw(generation.pk)
        after = [_setting(cursor, name) for name in ("max_parallel_maintenance_workers", "maintenance_work_mem")]
    generation.refresh_from_db()
    assert generation.has_hnsw
    assert [workers for workers, _ in settings] == ["2", "0"]
    assert after == before


@pytest.mark.django_db
def test_a_build_takes_the_memory_that_the_graph_needs() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '1MB'")
        hnsw._raise_memory_limit(cursor, 1 << 10)
        assert _setting(cursor, "maintenance_work_mem") == "1MB", "more than is needed"
        hnsw._raise_memory_limit(cursor, 32_000_000)
        assert _setting(cursor, "maintenance_work_mem") == "31250kB"
        hnsw._raise_memory_limit(cursor, 1 << 50)
        assert _setting(cursor, "maintenance_work_mem") == _setting(cursor, "shared_buffers")
        cursor.execute("RESET maintenance_work_mem")


def _setting(cursor: Any, name: str) -> str:
    cursor.execute("SELECT current_setting(%s)", [name])
    return str(cursor.fetchone()[0])
