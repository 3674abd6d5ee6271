"""The chat with a real model: llama.cpp's own server and a model of 135 million parameters, on a real web process."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chat.models import Message
from contexts.models import Trace
from tests import llama_server
from tests.chat.browser import FLAGS
from tests.chat.conftest import fill
from tests.chat.test_streaming import events_of
from tests.missing import require_browser, required
from tests.processes import Processes

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        llama_server.model_file() is None, reason="no model server is installed: make test-model installs and asks it"
    ),
]


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with llama_server.llama_server(tmp_path_factory.mktemp("llama") / "server.log") as url:
        yield url


@pytest.fixture
def start_web(transactional_db: Any, server_url: str, tmp_path: Path) -> Iterator[Any]:
    """Return a function that starts a web process which asks the model, with more settings if given."""
    fill()
    environment = {
        "OPENAI_API_KEY": "none-needed", "OPENAI_BASE_URL": server_url, "FABRA_CHAT_MODEL": "smollm2", "FABRA_WEB": "1",
        "FABRA_MODEL_RETRIES": "0", "FABRA_MODEL_TIMEOUT": "120", "FABRA_MODEL_MAX_TOKENS": "60",
    }  # fmt: skip
    started: list[Processes] = []

    def start(**more: str) -> Processes:
        started.append(Processes(tmp_path, **(environment | more)).__enter__())
        started[0].start_web()
        return started[0]

    yield start
    for processes in started:
        processes.__exit__(None, None, None)


def post(web: Processes, **body: Any) -> tuple[int, bytes]:
    data = json.dumps({"user_id": "user_456", "message": "How do I reset my password?", **body}).encode()
    request = urllib.request.Request(f"{web.url}/chat", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_an_answer_is_streamed_cited_and_traced(start_web: Any) -> None:
    status, raw = post(start_web(), stream=True)
    assert status == 200
    events = events_of(raw)
    pieces = [data["text"] for name, data in events if name == "delta"]
    name, body = events[-1]
    assert name == "done"
    assert len(pieces) > 5, "the answer comes piece by piece, as the model writes it"
    assert "".join(pieces) == body["response"]
    assert body["response"].endswith(" [1].")
    assert [citation["number"] for citation in body["citations"] if citation["is_cited"]] == [1]
    assert not body["extractive"]
    trace = Trace.objects.select_related("body").get(pk=body["context_id"])
    assert trace.state == Trace.State.ANSWERED
    evidence = json.loads(trace.body.text)
    assert "Click **Forgot password?**" in json.dumps(evidence["messages"])
    assert Message.objects.get(trace=trace, role="assistant").text == body["response"]


def test_its_tokens_are_the_servers_own_and_a_cut_answer_says_so(start_web: Any) -> None:
    status, raw = post(start_web(FABRA_MODEL_MAX_TOKENS="8"))
    body = json.loads(raw)
    assert status == 200
    assert body["usage"]["completion_tokens"] == 8
    assert body["usage"]["prompt_tokens"] > 50
    assert "answer_cut_off" in body["flags"]


def test_a_prompt_beyond_its_window_is_refused_with_a_code_and_costs_nothing(start_web: Any) -> None:
    web = start_web(FABRA_LIMIT_DEFAULT="1")
    status, raw = post(web, message="a " * (llama_server.CONTEXT_TOKENS + 500))
    assert (status, json.loads(raw)["error"]["code"]) == (502, "model_refused")
    assert Trace.objects.get().outcome["error"] == "model_refused"
    assert post(web)[0] == 200


def test_a_second_message_is_answered_with_the_first(start_web: Any) -> None:
    web = start_web()
    first = json.loads(post(web)[1])
    status, raw = post(web, message="And how long is it valid?", conversation_id=first["conversation_id"])
    body = json.loads(raw)
    assert (status, body["conversation_id"]) == (200, first["conversation_id"])
    assert body["response"] and not body["extractive"]
    evidence = json.loads(Trace.objects.select_related("body").get(pk=body["context_id"]).body.text)
    (search,) = evidence["searches"]
    assert [asked["question"] for asked in search["options"]["history"]] == ["How do I reset my password?"]
    said = evidence["messages"]
    assert [message["role"] for message in said] == ["system", "user", "assistant", "user"]
    assert said[2]["content"].startswith(first["response"].removesuffix(" [1].")), "the model sees what it answered"
    assert said[3]["content"].endswith("And how long is it valid?")


def test_the_page_shows_the_answer_with_its_source(start_web: Any) -> None:
    driver = required("playwright.sync_api")
    path = require_browser()
    url = start_web().url
    with driver.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=str(path), args=FLAGS)
        page = chromium.new_page()
        page.set_default_timeout(60_000)
        driver.expect.set_options(timeout=120_000)
        page.goto(url)
        page.fill("#message", "How do I reset my password?")
        page.press("#message", "Enter")
        driver.expect(page.locator(".text")).to_contain_text("Click Forgot password")
        driver.expect(page.locator(".cite").first).to_have_text("1")
        driver.expect(page.locator(".meta")).to_contain_text("smollm2")
        page.fill("#message", "And how long is it valid?")
        page.press("#message", "Enter")
        driver.expect(page.locator("article[data-state=done]")).to_have_count(2)
        page.get_by_role("button", name="What the model saw").last.click()
        driver.expect(page.locator(".searches")).to_contain_text("ranked together with earlier questions")
        driver.expect(page.locator("dialog .items")).to_contain_text(["Earlier in the conversation"])
        chromium.close()
    answer = Message.objects.filter(role="assistant").earliest("pk")
    assert answer.citations[0]["is_cited"]
    assert answer.grounding["sentences"][-1]["verdict"] == "supported"
