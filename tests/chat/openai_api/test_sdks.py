"""OpenAI's own SDKs talk to a real server: Python, also async, and JavaScript."""

import asyncio
import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from django.conf import settings
from openai.types.chat import ChatCompletion

from tests.chat.browser import Server, own_database
from tests.missing import missing
from tests.model_server import TEXT, ModelServer

KEY = "fabra_sec_of-the-test"
LINK = "https://help.example.com/reset"
PREPARE = f"""
from chat.models import ApiKey
from retrieval.indexing.documents import index_document
text = "# Reset your password\\n\\nClick **Forgot password?** on the sign-in page. The link is valid for an hour."
index_document("knowledge_base", "reset-your-password", text, {{"url": "{LINK}"}})
ApiKey.objects.create(name="sdk", start="fabra_sec_of-th", digest=ApiKey.digest_of("{KEY}"), scopes=["chat"])
"""
JAVASCRIPT = Path(__file__).parent / "javascript"
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
ANNOTATION = {
    "type": "url_citation",
    "url_citation": {
        "start_index": TEXT.index("[1]"), "end_index": TEXT.index("[1]") + 3, "url": LINK,
        "title": "Reset your password",
    },
}  # fmt: skip
QUESTION: Any = {"role": "user", "content": "How do I reset my password?"}


@pytest.fixture(scope="module")
def model_server() -> Iterator[ModelServer]:
    server = ModelServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def base_url(django_db_setup: None, django_db_blocker: Any, model_server: ModelServer) -> Iterator[str]:
    """The address of a server in production mode, with a model."""
    with django_db_blocker.unblock(), own_database(
        PREPARE, DEBUG="0", FABRA_HTTPS_ONLY="0", FABRA_WEB="1", FABRA_LIMIT_DEFAULT="1000", FABRA_MODEL_RETRIES="0",
        OPENAI_API_KEY="test", OPENAI_BASE_URL=model_server.url,
    ) as variables:  # fmt: skip
        server = Server(**variables)
        try:
            yield f"{server.wait().url}v1"
        finally:
            server.stop()


@pytest.fixture
def model(model_server: ModelServer) -> Iterator[ModelServer]:
    yield model_server
    model_server.behaviour, model_server.delay_s = "answer", 0.0
    model_server.cut_off.clear()


@pytest.fixture
def client(base_url: str, model: ModelServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
        yield client


def ask(client: Any, *messages: Any, **more: Any) -> Any:
    return client.chat.completions.create(model="default", user="petra", messages=list(messages or [QUESTION]), **more)


def extra(thing: Any) -> dict[str, Any]:
    """Return what is known of the answer beside the text."""
    found = thing["fabra"] if isinstance(thing, dict) else thing.fabra
    assert isinstance(found, dict)
    return found


def test_models_are_listed_and_described(client: openai.OpenAI) -> None:
    assert next(model.id for model in client.models.list()) == "chat_context"
    assert client.models.retrieve("chat_context_free").owned_by == "fabra"


def test_a_whole_answer(client: openai.OpenAI) -> None:
    response = client.chat.completions.with_raw_response.create(
        model="default", user="petra", messages=[QUESTION], temperature=0.3, extra_body={"top_k": 3}
    )
    completion = response.parse()
    (choice,) = completion.choices
    assert (choice.message.content, choice.finish_reason, completion.model) == (TEXT, "stop", "chat_context")
    assert [annotation.to_dict() for annotation in choice.message.annotations or []] == [ANNOTATION]
    assert completion.usage and completion.usage.to_dict() == USAGE
    assert completion.id == f"chatcmpl-{extra(completion)['context_id']}"
    assert completion._request_id == extra(completion)["context_id"]
    assert extra(completion)["citations"][0]["url"] == LINK
    assert (extra(completion)["ignored"], response.headers["x-fabra-ignored"]) == (["top_k"], "top_k")
    assert int(response.headers["x-ratelimit-remaining"]) < 1000
    # It is what the SDK's types say, field by field.
    ChatCompletion.model_validate_json(response.text, strict=True)


def test_a_stream(client: openai.OpenAI) -> None:
    pieces = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert pieces[0].choices[0].delta.role == "assistant"
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces[:-1]) == TEXT
    assert len(pieces) > 5
    *_, last, usage = pieces
    assert (last.choices[0].finish_reason, last.choices[0].delta.annotations) == ("stop", [ANNOTATION])
    assert (usage.choices, usage.usage.to_dict()) == ([], USAGE)
    assert all(piece.usage is None for piece in pieces[:-1])
    assert len({piece.id for piece in pieces}) == 1
    assert extra(last)["citations"][0]["is_cited"]
    assert not any(hasattr(piece, "usage") and piece.usage for piece in ask(client, stream=True))


def test_the_streams_helper_puts_the_pieces_together(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="default", user="petra", messages=[QUESTION]) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        final = stream.get_final_completion()
    assert text == final.choices[0].message.content == TEXT
    assert [annotation.to_dict() for annotation in final.choices[0].message.annotations or []] == [ANNOTATION]


def test_a_follow_up_as_the_sdk_returns_messages(client: openai.OpenAI) -> None:
    first = ask(client)
    second = ask(client, QUESTION, first.choices[0].message, {"role": "user", "content": "And on the phone?"})
    streamed = list(ask(client, QUESTION, first.choices[0].message, {"role": "user", "content": "Or?"}, stream=True))
    assert extra(second)["conversation_id"] == extra(first)["conversation_id"]
    assert extra(second)["ignored"] == []
    assert extra(streamed[-1])["conversation_id"] != extra(first)["conversation_id"]  # it went on already


def test_async(base_url: str, model: ModelServer) -> None:
    async def talk() -> tuple[Any, list[Any], list[Any]]:
        async with openai.AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
            stream = await ask(client, stream=True)
            pieces = [piece async for piece in stream]
            many = await asyncio.gather(*(ask(client) for _ in range(4)))
            return await ask(client), pieces, many

    whole, pieces, many = asyncio.run(talk())
    assert whole.choices[0].message.content == TEXT
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == TEXT
    assert len({extra(answer)["conversation_id"] for answer in many}) == 4


def test_errors_are_those_of_the_sdk(client: openai.OpenAI, base_url: str, model: ModelServer) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-4o", messages=[QUESTION])
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, n=2)
    assert (refused.value.code, refused.value.param) == ("unsupported_value", "n")
    with pytest.raises(openai.AuthenticationError) as unknown:
        client.with_options(api_key="fabra_sec_unknown").models.list()
    assert unknown.value.code == "invalid_api_key"
    model.behaviour = "500"
    requests = len(model.requests)
    with pytest.raises(openai.InternalServerError) as failed:
        ask(client.with_options(max_retries=2))
    assert (failed.value.status_code, failed.value.code) == (502, "model_failed")
    assert len(model.requests) == requests + 1  # the SDK was told not to try again
    model.behaviour = "break"
    with pytest.raises(openai.APIError) as broken:
        list(ask(client, stream=True))
    assert (broken.value.code, broken.value.type) == ("model_failed", "server_error")


def test_a_client_that_goes_away_cancels_the_model(client: openai.OpenAI, model: ModelServer) -> None:
    model.delay_s = 10.0
    with ask(client, stream=True) as stream:
        for piece in stream:
            if piece.choices[0].delta.content:
                break
    assert model.cut_off.wait(30)


def test_a_head_request_is_answered(base_url: str) -> None:
    request = urllib.request.Request(f"{base_url}/models", headers={"Authorization": f"Bearer {KEY}"}, method="HEAD")
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.status == 200


@pytest.fixture(scope="module")
def node_folder() -> Path:
    """A folder with the JavaScript SDK, as its lock file says."""
    if not (shutil.which("node") and shutil.which("npm")):
        missing("node and npm are missing: apt-get install nodejs npm")
    folder: Path = settings.FABRA_DATA_DIR / "tests" / "openai-javascript"
    folder.mkdir(parents=True, exist_ok=True)
    lock, installed = JAVASCRIPT / "package-lock.json", folder / "installed.json"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        for name in ("package.json", lock.name):
            shutil.copy(JAVASCRIPT / name, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
        if done.returncode:
            missing(f"npm cannot install OpenAI's SDK for JavaScript: {done.stderr[-500:]}")
        shutil.copy(lock, installed)
    shutil.copy(JAVASCRIPT / "scenarios.mjs", folder)
    return folder


def test_javascript(node_folder: Path, base_url: str, model: ModelServer) -> None:
    done = subprocess.run(
        ["node", "scenarios.mjs"], cwd=node_folder, capture_output=True, text=True, timeout=120, check=False,
        env={"PATH": os.environ["PATH"], "BASE_URL": base_url, "API_KEY": KEY},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert (got["models"][0], got["model"]["id"]) == ("chat_context", "chat_context")
    (choice,) = got["whole"]["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (TEXT, "stop")
    assert (choice["message"]["annotations"], got["whole"]["usage"]) == ([ANNOTATION], USAGE)
    *pieces, last, usage = got["pieces"]
    assert "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces) == TEXT
    assert (last["choices"][0]["delta"]["annotations"], usage["usage"]) == ([ANNOTATION], USAGE)
    assert extra(last)["conversation_id"] == extra(got["whole"])["conversation_id"]
    assert got["heard"] == got["final"]["choices"][0]["message"]["content"] == TEXT
    assert got["errors"] == {
        "model": {"kind": "NotFoundError", "status": 404, "code": "model_not_found", "param": "model"},
        "parameter": {"kind": "BadRequestError", "status": 400, "code": "unsupported_value", "param": "n"},
        "key": {"kind": "AuthenticationError", "status": 401, "code": "invalid_api_key", "param": None},
        "address": {"kind": "NotFoundError", "status": 404, "code": "unknown_url", "param": None},
    }
