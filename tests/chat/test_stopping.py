"""An answer is stopped from another request, another process, or its own socket; what was received is kept."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import websockets

from chat.models import Message
from contexts.models import Trace
from tests.chat.conftest import fill
from tests.model_server import TEXT, ModelServer
from tests.processes import Processes, wait_until

UNCITED = TEXT.replace(" [1]", "")
"""There are no documents here, so the citation supports nothing and is dropped."""

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def started(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None
) -> Iterator[tuple[Processes, Processes, ModelServer]]:
    """Two web processes and their model, for all tests here."""
    server = ModelServer()
    environment = {
        "OPENAI_API_KEY": "test-key", "OPENAI_BASE_URL": server.url, "FABRA_WEB": "1", "FABRA_MODEL_RETRIES": "0",
    }  # fmt: skip
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    with Processes(folders[0], **environment) as first, Processes(folders[1], **environment) as second:
        first.start_web()
        second.start_web()
        yield first, second, server
    server.close()


@pytest.fixture
def slow_model(started: tuple[Processes, Processes, ModelServer]) -> ModelServer:
    """A model that sends a piece in 10 seconds."""
    model = started[2]
    model.reset()
    model.delay_s = 10.0
    return model


@pytest.fixture
def webs(
    transactional_db: Any, started: tuple[Processes, Processes, ModelServer], slow_model: ModelServer
) -> tuple[Processes, Processes]:
    fill()
    return started[:2]


def post(url: str, body: dict[str, Any] | None = None) -> bytes:
    request = urllib.request.Request(url, json.dumps(body or {}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        return bytes(response.read())


def stop(web: Processes, conversation_id: int) -> dict[str, Any]:
    return dict(json.loads(post(f"{web.url}/chat/{conversation_id}/stop?user_id=user_123")))


def running_conversation(model: ModelServer) -> int:
    """Return the conversation whose answer has begun."""
    wait_until(lambda: model.requests)
    return Message.objects.latest("pk").conversation_id


@pytest.mark.parametrize(("by", "is_streamed"), [(0, True), (1, True), (1, False)])
def test_a_request_to_any_process_stops_it(
    webs: tuple[Processes, Processes], slow_model: ModelServer, by: int, is_streamed: bool
) -> None:
    model = slow_model
    with ThreadPoolExecutor() as pool:
        question = {"user_id": "user_123", "message": "How do I reset my password?", "stream": is_streamed}
        answer = pool.submit(post, f"{webs[0].url}/chat", question)
        conversation_id = running_conversation(model)
        said = wait_until(lambda: answer.done() or stop(webs[by], conversation_id))
        assert said is True or said["asked_others"]
        raw = answer.result(120).decode()
    assert model.cut_off.wait(30)
    body = json.loads(raw.strip().rpartition("data: ")[2] if is_streamed else raw)
    message = Message.objects.get(role="assistant")
    assert body["flags"] == message.flags == ["answer_stopped"]
    assert body["message_id"] == message.pk
    assert body["response"] == message.text == (TEXT[:5] if is_streamed else "")
    trace = Trace.objects.get()
    assert (trace.state, trace.answer, trace.error_code) == ("answered", message.text, "")
    assert trace.outcome["finish_reason"] == "stopped"
    assert stop(webs[0], conversation_id)["stopped"] == 0


def test_the_socket_tells_what_was_kept_and_goes_on(webs: tuple[Processes, Processes], slow_model: ModelServer) -> None:
    web, model = webs[0], slow_model

    async def talk() -> None:
        async with websockets.connect(f"ws://127.0.0.1:{web.port}/ws/chat", origin=web.url) as ws:

            async def until(*kinds: str) -> dict[str, Any]:
                while (said := json.loads(await asyncio.wait_for(ws.recv(), 60)))["type"] not in kinds:
                    pass
                return dict(said)

            async def ask(message: str) -> None:
                await ws.send(json.dumps({"message": message, "user_id": "user_123"}))

            await ask("First?")
            await until("delta")
            await ws.send(json.dumps({"type": "stop"}))
            stopped = await until("stopped", "error")
            assert (stopped["response"], stopped["flags"]) == (TEXT[:5], ["answer_stopped"])
            assert stopped["html"] == f"<p>{TEXT[:5]}</p>\n"

            await ask("Second?")
            conversation_id = (await until("start"))["conversation_id"]
            await until("delta")
            assert (await asyncio.to_thread(stop, webs[1], conversation_id))["asked_others"]
            assert (await until("stopped", "error"))["type"] == "stopped"

            model.delay_s = 0
            await ask("Third?")
            assert (await until("done", "error"))["response"] == UNCITED

    asyncio.run(talk())
    texts = Message.objects.filter(role="assistant").order_by("pk").values_list("text", flat=True)
    assert list(texts) == [TEXT[:5], TEXT[:5], UNCITED]


@pytest.mark.django_db
def test_without_redis_only_this_process_is_reached_and_that_is_said(
    bot: None, ask: Any, client: Any, redis_down: None
) -> None:
    conversation_id = ask().json()["conversation_id"]
    response = client.post(f"/chat/{conversation_id}/stop?user_id=user_123")
    assert (response.status_code, response.json()) == (200, {"stopped": 0, "asked_others": False})


def test_a_stopped_answer_without_a_word_is_no_turn_of_the_history(bot: None, ask: Any, model: ModelServer) -> None:
    first = ask().json()
    Message.objects.filter(pk=first["message_id"]).update(text="", flags=["answer_stopped"])
    ask("And then?", conversation_id=first["conversation_id"])
    assert [message["role"] for message in model.requests[-1]["messages"]] == ["system", "user"]
