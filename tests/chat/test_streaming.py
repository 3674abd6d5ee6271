"""Streams over HTTP and WebSocket, on real processes: pieces, errors, and clients that go away."""

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import websockets
from django.utils import timezone

from chat.models import Message
from contexts.models import Trace
from events.models import Event
from events.tasks import sweep
from features.models import FeatureValue
from retrieval.models import Document
from tests.chat.conftest import fill
from tests.model_server import TEXT, ModelServer
from tests.processes import Processes, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

HEAD = b"POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[tuple[Processes, ModelServer]]:
    """A web process and its model, for all tests here."""
    server = ModelServer()
    environment = {
        "OPENAI_API_KEY": "test-key", "OPENAI_BASE_URL": server.url, "FABRA_WEB": "1", "FABRA_MODEL_RETRIES": "0",
        "FABRA_LIMIT_PREMIUM": "1000", "FABRA_LIMIT_DEFAULT": "2",
    }  # fmt: skip
    with Processes(tmp_path_factory.mktemp("logs"), **environment) as processes:
        processes.start_web()
        yield processes, server
    server.close()


@pytest.fixture
def model(started: tuple[Processes, ModelServer]) -> ModelServer:
    started[1].reset()
    return started[1]


@pytest.fixture
def web(transactional_db: Any, started: tuple[Processes, ModelServer], model: ModelServer) -> Iterator[Processes]:
    fill()
    yield started[0]
    started[0].end_all_but("web")


def post(web: Processes, **body: Any) -> tuple[int, bytes]:
    data = json.dumps({"user_id": "user_123", "message": "How do I reset my password?", **body}).encode()
    request = urllib.request.Request(f"{web.url}/chat", data, {"Content-Type": "application/json"})
    try:
        response = urllib.request.urlopen(request, timeout=120)
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    return response.status, response.read()


def events_of(raw: bytes) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in raw.decode().strip().split("\n\n"):
        name, data = block.split("\n", 1)
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def leave_after(web: Processes, body: dict[str, Any], wait_for: bytes) -> None:
    """Post to /chat, read until `wait_for` is there, and close the connection."""
    data = json.dumps({"user_id": "user_123", "message": "How do I reset my password?", **body}).encode()
    with socket.create_connection(("127.0.0.1", web.port), timeout=60) as connection:
        head = HEAD % len(data)
        connection.sendall(head + data)
        seen = b""
        while wait_for not in seen:
            piece = connection.recv(1000)
            assert piece, seen
            seen += piece


def test_server_sent_events(web: Processes, model: ModelServer) -> None:
    status, raw = post(web, stream=True)
    assert status == 200
    events = events_of(raw)
    assert [name for name, _ in events] == ["start", *["delta"] * (len(events) - 2), "done"]
    assert "".join(data["text"] for name, data in events if name == "delta") == TEXT
    done = events[-1][1]
    assert done["response"] == TEXT
    assert done["usage"]["total_tokens"] == 120
    assert [sentence["verdict"] for sentence in done["grounding"]["sentences"]] == ["supported"]
    trace = Trace.objects.get(pk=done["context_id"])
    assert (trace.state, trace.answer) == ("answered", TEXT)

    for behaviour in ("break", "garble mid-stream"):
        model.behaviour = behaviour
        events = events_of(post(web, stream=True, user_id=behaviour)[1])
        assert events[-1][0] == "error"
        assert events[-1][1]["code"] in ("model_failed", "model_unreachable")
        assert Trace.objects.get(pk=events[-1][1]["context_id"]).state == "failed"

    model.behaviour = "answer"
    assert [post(web, stream=True, user_id="user_456")[0] for _ in range(3)] == [200, 200, 429]
    status, raw = post(web, stream=True, message="")
    assert (status, json.loads(raw)["error"]["code"]) == (400, "invalid_message")


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_client_that_goes_away_cancels_the_model_call(web: Processes, model: ModelServer, is_streamed: bool) -> None:
    model.delay_s = 10.0
    if is_streamed:
        leave_after(web, {"stream": True}, b"event: delta")
    else:
        with socket.create_connection(("127.0.0.1", web.port), timeout=60) as connection:
            data = b'{"user_id": "user_123", "message": "How do I reset my password?"}'
            head = HEAD % len(data)
            connection.sendall(head + data)
            wait_until(lambda: model.requests)
    assert model.cut_off.wait(30)
    trace = wait_until(lambda: Trace.objects.filter(error_code="client_disconnected").first())
    assert trace.state == "failed"
    assert Message.objects.filter(role="assistant").count() == 0
    model.delay_s = 0
    assert post(web)[0] == 200


def test_the_websocket_streams_stops_and_tells_errors(web: Processes, model: ModelServer) -> None:
    async def talk() -> None:
        async with websockets.connect(f"ws://127.0.0.1:{web.port}/ws/chat", origin=web.url) as ws:

            async def until(*kinds: str) -> list[dict[str, Any]]:
                seen: list[dict[str, Any]] = []
                while not seen or seen[-1]["type"] not in kinds:
                    seen.append(json.loads(await asyncio.wait_for(ws.recv(), 60)))
                return seen

            await ws.send(json.dumps({"message": "How do I reset my password?", "user_id": "user_123"}))
            seen = await until("done", "error")
            assert [seen[0]["type"], seen[-1]["type"]] == ["start", "done"]
            assert seen[-1]["response"] == "".join(event["text"] for event in seen[1:-1]) == TEXT
            assert seen[-1]["limits"]["X-RateLimit-Limit"] == "1000"
            assert (
                '<strong>Forgot password?</strong> on the sign-in page <span class="cite">1</span>' in seen[-1]["html"]
            )
            assert all("html" in citation for citation in seen[-1]["citations"])

            model.text = "One **block** 😀.\n\n- an item\n\nThe *end*"
            await ws.send(json.dumps({"message": "In blocks?", "user_id": "user_123"}))
            seen = await until("done", "error")
            blocks = [(event["html"], event["length"]) for event in seen if event["type"] == "block"]
            assert blocks == [("<p>One <strong>block</strong> 😀.</p>\n", 19)]
            assert seen[-1]["html"].startswith(f"{blocks[0][0]}<ul>")
            model.text = TEXT

            model.delay_s = 10.0
            await ws.send(
                json.dumps({"message": "Again?", "user_id": "user_123", "conversation_id": seen[-1]["conversation_id"]})
            )
            await until("delta")
            await ws.send(json.dumps({"message": "Impatient", "user_id": "user_123"}))
            assert (await until("error"))[-1]["code"] == "invalid_message"
            await ws.send(json.dumps({"type": "stop"}))
            stopped = (await until("stopped"))[-1]
            assert (stopped["response"], stopped["html"]) == (TEXT[:5], f"<p>{TEXT[:5]}</p>\n")
            await asyncio.to_thread(model.cut_off.wait, 30)
            assert model.cut_off.is_set()

            model.delay_s = 0
            for bad in [
                "{",
                "[]",
                "[" * 50_000,
                json.dumps({"message": 5}),
                json.dumps({"message": "\x00"}),
                json.dumps({}),
            ]:
                await ws.send(bad)
                assert (await until("error"))[-1]["status"] == 400, bad[:20]
            await ws.send(json.dumps({"message": "Still there?", "user_id": "user_123"}))
            assert (await until("done", "error"))[-1]["response"] == TEXT

        with pytest.raises(websockets.exceptions.InvalidStatus):
            await websockets.connect(f"ws://127.0.0.1:{web.port}/ws/chat", origin="http://evil.example")

    asyncio.run(talk())


def test_a_saved_document_changes_the_answer_though_no_beat_looks_for_it(web: Processes, model: ModelServer) -> None:
    web.start_worker()
    post(web)
    document = Document.objects.get(entity_id="reset-your-password")
    document.text = "# Reset your password\n\nWarm the worker up."
    document.save()
    wait_until(lambda: "Warm the worker" in json.loads(post(web)[1])["context_used"])
    document.text = "# Reset your password\n\nCall us on the telephone."
    document.save()
    wait_until(lambda: "Call us on the telephone" in json.loads(post(web)[1])["context_used"])
    assert "Warm the worker" not in json.loads(post(web)[1])["context_used"]


def test_a_killed_worker_loses_no_event(web: Processes) -> None:
    for number in range(5):
        post(web, message=f"Question {number}?")
    web.start_worker()
    wait_until(lambda: Event.objects.filter(state="done").exists())
    web.kill("worker")
    for number in range(5):
        post(web, message=f"Another question {number}?")
    web.start_worker()

    def all_are_done() -> bool:
        # Beat would sweep after a while; what the dead worker had taken is old at once here.
        past = timezone.now() - timedelta(minutes=1)
        Event.objects.filter(state="running").update(started_at=past)
        Event.objects.update(dispatched_at=past)
        sweep()
        return Event.objects.filter(event_type="message_sent", state="done").count() == 10

    wait_until(all_are_done)
    assert FeatureValue.objects.filter(feature="message_count").count() == 10
