"""Documents by lines of JSON: each is answered, in order, while the rest is on its way, and fails alone."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.test import AsyncClient
from django.utils import timezone

from chat.api.bulk.lines import Writer
from chat.api.bulk.stream import answers_to
from chat.models import ApiKey
from events.models import Event
from retrieval.errors import EmbedderUnavailable
from retrieval.indexing.documents import index_document
from retrieval.models import Chunk, Document, DocumentVersion
from tests.processes import Processes, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

WRITER = Writer(index_name="docs", author="cms", may_delete=True, waits=True)
Line = dict[str, Any] | bytes


def line(entity_id: str, text: str, **more: Any) -> Line:
    return {"entity_id": entity_id, "text": text, **more}


def delete(entity_id: str) -> Line:
    return {"action": "delete", "entity_id": entity_id}


def body_of(*lines: Line) -> bytes:
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)


def apply(*lines: Line, writer: Writer = WRITER, size: int = 50) -> list[dict[str, Any]]:
    """Return the answers to lines that arrive in pieces of some bytes."""
    body = body_of(*lines)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    async def run() -> bytes:
        return b"".join([piece async for piece in answers_to(pieces(), writer)])

    return [json.loads(text) for text in async_to_sync(run)().splitlines()]


def statuses(answers: list[dict[str, Any]]) -> list[str]:
    return [answer.get("error", {}).get("code") or answer["status"] for answer in answers]


def test_a_byte_order_mark_is_no_text() -> None:
    """Files of Windows begin with one, and of several that were joined each does."""
    marked = [b"\xef\xbb\xbf" + json.dumps(line(name, f"Text of {name}.")).encode() for name in ("a", "b")]
    assert statuses(apply(*marked)) == ["indexed", "indexed"]


@pytest.fixture(autouse=True)
def model(embedder: Any) -> Any:
    return embedder


def served() -> dict[str, str]:
    return dict(Document.objects.live().values_list("entity_id", "version__text"))


class TestLines:
    def test_each_has_its_answer_in_order(self) -> None:
        index_document("docs", "old", "Old.")
        answers = apply(line("a", "Penguins."), line("b", "Bears."), delete("old"), delete("none"), line("a", "Seals."))
        assert [(answer["line"], answer["entity_id"]) for answer in answers] == [
            (1, "a"), (2, "b"), (3, "old"), (4, "none"), (5, "a"),
        ]  # fmt: skip
        assert statuses(answers) == ["indexed", "indexed", "deleted", "not_found", "indexed"]
        assert [answer.get("version") for answer in answers] == [1, 1, None, None, 2]
        assert served() == {"a": "Seals.", "b": "Bears."}
        assert DocumentVersion.objects.get(document__entity_id="b").author == "cms"

    def test_what_is_there_already_is_unchanged(self, model: Any) -> None:
        lines = [line(str(number), f"Text {number}.") for number in range(5)]
        apply(*lines)
        model.embedded.clear()
        assert statuses(apply(*lines)) == ["unchanged"] * 5
        assert model.embedded == []

    def test_a_bad_one_is_named_and_the_others_go_on(self, settings: Any) -> None:
        settings.FABRA_MAX_REQUEST_BYTES = 2000
        bad: list[Line] = [
            b"{", b"[1]", b"\xff", {"entity_id": "x"}, line("", "Text."), line("x", " "),
            line("x", "Text.", audience="a"), line("x", "Text.", audiance=["a"]),
            line("x", "Text.", index_name="other"),
            line("x" * 300, "Text."), {"action": "move", "entity_id": "x"}, line("x", "Long. " * 1000), b"NaN",
            {"action": "\ud800", "entity_id": "x"}, delete("\ud800"), delete("a\x00"), delete("x" * 300),
        ]  # fmt: skip
        lines = [text for wrong in bad for text in (line("good", "Penguins."), wrong)]
        answers = apply(*lines, line("good", "Bears."))
        assert statuses(answers)[1::2] == [
            "invalid_json", "invalid_json", "invalid_json", "invalid_input", "invalid_input", "invalid_input",
            *["invalid_input"] * 5, "request_too_large", "invalid_json",
            *["invalid_input"] * 4,
        ]  # fmt: skip
        assert set(statuses(answers)[::2]) == {"indexed", "unchanged"}
        assert [answer["line"] for answer in answers] == list(range(1, 2 * len(bad) + 2))
        assert served() == {"good": "Bears."}

    def test_blank_lines_are_counted_and_the_last_needs_no_end(self) -> None:
        body = b"\n\r\n" + body_of(line("a", "Penguins."), b"").rstrip()
        assert [(answer["line"], answer["status"]) for answer in apply(body)] == [(3, "indexed")]
        assert apply() == []

    def test_the_last_word_on_a_document_counts_however_lines_fall_into_batches(self, settings: Any) -> None:
        settings.FABRA_INGESTION_BATCH_CHARS = 40
        lines = []
        for number in range(20):
            lines += [line("a", f"Text {number}."), line(f"b{number}", "Bears."), line("a", "Text 0."), delete("b3")]
        lines += [line("a", "The end.")]
        apply(*lines)
        assert served() == {"a": "The end."} | {f"b{number}": "Bears." for number in range(20) if number != 3}

    def test_a_document_that_cannot_be_embedded_fails_alone(self, model: Any) -> None:
        model.failure = EmbedderUnavailable
        answers = apply(*(line(str(number), f"Text {number}.") for number in range(4)))
        assert set(statuses(answers)) == {"embedder_unavailable"}
        assert (answers[-1]["line"], answers[-1]["entity_id"]) == (None, None)
        assert served() == {}

    def test_who_may_not_delete_is_told_for_that_line(self) -> None:
        writer = Writer(index_name="docs", author="", may_delete=False, waits=True)
        assert statuses(apply(line("a", "Penguins."), delete("a"), writer=writer)) == ["indexed", "permission_denied"]

    def test_lines_can_be_accepted_for_the_workers(self) -> None:
        writer = Writer(index_name="docs", author="cms", may_delete=True, waits=False)
        answers = apply(line("a", "Penguins.", audience=["x"]), b"{", delete("b"), writer=writer)
        assert statuses(answers) == ["accepted", "invalid_json", "accepted"]
        assert served() == {}
        events = list(Event.objects.order_by("pk"))
        assert [(event.event_type, event.entity_id, event.sender) for event in events] == [
            ("doc_updated", "a", "cms"), ("doc_deleted", "b", "cms"),
        ]  # fmt: skip
        assert events[0].payload == {
            "index": "docs", "content": "Penguins.", "metadata": {}, "audience": ["x"], "title": "",
        }  # fmt: skip
        assert answers[0]["event_id"] == events[0].event_id

    def test_answers_come_while_lines_are_still_to_come(self) -> None:
        """A client that waits for each answer before it sends the next line gets it."""
        sent: asyncio.Queue[bytes | None]

        async def pieces() -> AsyncIterator[bytes]:
            while (piece := await sent.get()) is not None:
                yield piece

        async def run() -> list[str]:
            nonlocal sent
            sent = asyncio.Queue()
            answers, found = answers_to(pieces(), WRITER), []
            for number in range(3):
                sent.put_nowait(body_of(line("a", f"Text {number}.")))
                found.append(json.loads(await asyncio.wait_for(anext(answers), 60))["status"])
            sent.put_nowait(None)
            assert [piece async for piece in answers] == []
            return found

        assert async_to_sync(run)() == ["indexed"] * 3


class TestRequests:
    def post(self, body: bytes, query: str = "index_name=docs", kind: str = "application/x-ndjson", **more: str) -> Any:
        async def run() -> tuple[Any, bytes]:
            client = AsyncClient()
            response = await client.post(f"/api/documents/bulk/?{query}", body, content_type=kind, headers=more)
            if not response.streaming:
                return response, response.content
            return response, b"".join([piece async for piece in response.streaming_content])

        return async_to_sync(run)()

    def test_it_is_refused_as_a_whole_before_any_line(self, settings: Any) -> None:
        settings.DEBUG = True
        body = body_of(line("a", "Penguins."))
        for query, kind, headers, status, code in [
            ("", "application/json", {}, 415, "unsupported_media_type"),
            ("wait=x", "application/x-ndjson", {}, 400, "invalid_input"),
            ("index_name=%00", "application/x-ndjson", {}, 400, "invalid_input"),
            ("", "application/x-ndjson", {"Idempotency-Key": "k"}, 400, "idempotency_key_unsupported"),
        ]:
            response, content = self.post(body, query, kind, **headers)
            assert (response.status_code, json.loads(content)["error"]["code"]) == (status, code)
        settings.FABRA_BULK_STREAMS = 0
        response, content = self.post(body)
        assert (response.status_code, json.loads(content)["error"]["code"]) == (503, "bulk_busy")
        settings.DEBUG = False
        assert self.post(body)[0].status_code == 401
        assert served() == {}

    def test_a_key_is_bound_to_its_indexes_and_to_the_rights_of_its_owner(self, settings: Any) -> None:
        settings.DEBUG = False
        editor = User.objects.create_user("ed")
        editor.user_permissions.add(Permission.objects.get(codename="change_document"))
        key = ApiKey.make("cms", ["ingest"], indexes=["docs"], owner=editor)[1]
        headers = {"Authorization": f"Bearer {key}"}
        assert self.post(b"\n", "index_name=other", **headers)[0].status_code == 403
        response, content = self.post(body_of(line("a", "Penguins."), delete("a")), **headers)
        assert response.headers["Content-Type"] == "application/x-ndjson"
        assert statuses([json.loads(text) for text in content.splitlines()]) == ["indexed", "permission_denied"]

    def test_a_document_that_is_called_bulk_is_there(self, settings: Any, client: Any) -> None:
        settings.DEBUG = True
        index_document("docs", "bulk", "Penguins.")
        assert client.get("/api/documents/bulk/?index_name=docs").json()["text"] == "Penguins."
        assert client.delete("/api/documents/bulk/?index_name=docs").status_code == 204
        assert client.get("/api/documents/bulk/?index_name=docs").status_code == 404


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Processes]:
    environment = {
        "FABRA_WEB": "1", "FABRA_MAX_REQUEST_BYTES": "50000", "FABRA_BODY_TIMEOUT": "8",
        "FABRA_BULK_MAX_BYTES": "3000000",
        "FABRA_EMBEDDER": "tests.embedders.FragileEmbedder", "FABRA_EMBEDDING_MODEL": "hashing-256",
    }  # fmt: skip
    with Processes(tmp_path_factory.mktemp("logs"), **environment) as processes:
        processes.start_web()
        yield processes


HEAD = (
    b"POST /api/documents/bulk/?index_name=docs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\n"
    b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def chunk(*lines: Line) -> bytes:
    body = body_of(*lines)
    return b"%x\r\n%s\r\n" % (len(body), body)


def is_free(web: Processes) -> bool:
    """Return whether the server takes one more bulk request."""
    with closing(socket.create_connection(("127.0.0.1", web.port), timeout=120)) as connection:
        connection.sendall(HEAD + b"0\r\n\r\n")
        return connection.recv(65536).startswith(b"HTTP/1.1 200")


class TestServer:
    def test_lines_are_answered_before_the_body_ends(self, web: Processes) -> None:
        with closing(socket.create_connection(("127.0.0.1", web.port), timeout=120)) as connection:
            connection.sendall(HEAD + chunk(line("a", "Penguins.")))
            received = b""
            while b'"indexed"' not in received:
                piece = connection.recv(65536)
                assert piece, received
                received += piece
            assert received.startswith(b"HTTP/1.1 200")
            connection.sendall(chunk(line("b", "Bears.")) + b"0\r\n\r\n")
            while piece := connection.recv(65536):
                received += piece
        assert received.count(b'"indexed"') == 2 and received.endswith(b"0\r\n\r\n")

    def test_a_body_many_times_the_limit_of_others_goes_through_a_client_that_only_sends(self, web: Processes) -> None:
        lines = [line(str(number), f"Text {number} " * 400) for number in range(300)]
        with closing(socket.create_connection(("127.0.0.1", web.port), timeout=120)) as connection:
            connection.sendall(HEAD + b"".join(chunk(line) for line in lines) + b"0\r\n\r\n")
            received = b""
            while piece := connection.recv(65536):
                received += piece
        assert received.count(b'"indexed"') == 300

    def test_a_client_that_stops_in_the_middle_is_told(self, web: Processes) -> None:
        with closing(socket.create_connection(("127.0.0.1", web.port), timeout=120)) as connection:
            connection.sendall(HEAD + chunk(line("a", "Penguins.")) + b'5\r\n{"ent')
            received = b""
            while piece := connection.recv(65536):
                received += piece
        assert b'"indexed"' in received and b'"request_timeout"' in received

    def test_more_than_the_limit_is_refused(self, web: Processes) -> None:
        with closing(socket.create_connection(("127.0.0.1", web.port), timeout=120)) as connection:
            connection.sendall(HEAD + chunk(line("a", "Penguins.")))
            for _ in range(400):
                connection.sendall(chunk(b" " * 10_000))
            connection.sendall(b"0\r\n\r\n")
            received = b""
            while piece := connection.recv(65536):
                received += piece
        assert b'"indexed"' in received and b'"request_too_large"' in received

    def test_a_client_that_goes_away_leaves_what_was_begun_and_the_next_one_goes_on(self, web: Processes) -> None:
        started = timezone.now()
        with closing(socket.create_connection(("127.0.0.1", web.port), timeout=120)) as connection:
            connection.sendall(HEAD + chunk(*(line(str(number), f"Text {number}.") for number in range(200))))
            wait_until(lambda: Document.objects.filter(created_at__gte=started).exists())
        wait_until(lambda: is_free(web))  # its process has noticed
        self.test_lines_are_answered_before_the_body_ends(web)
        # Nothing is half written.
        assert not Document.objects.filter(version=None).exists()
        assert Chunk.objects.count() == Document.objects.count()
