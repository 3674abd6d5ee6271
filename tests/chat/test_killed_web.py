"""A web process is killed while it answers: the repetition is answered once, and no trace stays without an outcome."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from chat.engine.interrupted import end_interrupted
from chat.models import Conversation, IdempotentRequest, Message
from contexts.models import Trace
from retrieval.indexing.documents import index_document
from tests.model_server import ModelServer
from tests.processes import Processes, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

CHAT = {"user_id": "ana", "message": "How do I reset my password?"}


@pytest.fixture
def web(model: ModelServer, embedder: Any, tmp_path: Path) -> Iterator[Processes]:
    environment = {
        "OPENAI_API_KEY": "any", "OPENAI_BASE_URL": model.url, "FABRA_WEB": "1", "FABRA_MODEL_RETRIES": "0",
        "FABRA_EMBEDDER": "tests.embedders.FragileEmbedder", "FABRA_EMBEDDING_MODEL": "hashing-256",
    }  # fmt: skip
    index_document("knowledge_base", "a", "To reset your password, click the link.")
    with Processes(tmp_path, **environment) as processes:
        processes.start_web()
        yield processes


def post(web: Processes) -> Any:
    """Return the answer's headers and body, or None if the server went away."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k-1"}
    request = urllib.request.Request(f"{web.url}/chat", json.dumps(CHAT).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=100) as response:
            return response.headers, json.loads(response.read())
    except urllib.error.HTTPError as error:
        pytest.fail(error.read().decode())
    except (urllib.error.URLError, OSError):
        return None


def kill_in_mid_answer(web: Processes, model: ModelServer) -> Trace:
    """Kill the web process while its model works; return the trace of the answer, as a lease later."""
    model.behaviour = "hang"
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(post, web)
        wait_until(lambda: model.requests or asked.done())
        assert model.requests, asked.result()
        web.kill("web")
        assert asked.result(30) is None
    model.reset()
    a_moment_ago = timezone.now() - timedelta(seconds=1)
    Conversation.objects.update(turn_until=a_moment_ago)
    IdempotentRequest.objects.update(leased_until=a_moment_ago)
    trace = Trace.objects.get()
    assert (trace.state, IdempotentRequest.objects.get().status) == ("assembled", None)
    return trace


def test_the_repetition_of_a_request_is_answered_once(web: Processes, model: ModelServer) -> None:
    first = kill_in_mid_answer(web, model)
    web.start_web()
    headers, answer = post(web)
    assert (answer["response"], headers["Idempotent-Replayed"]) == (model.text, None)
    headers, again = post(web)
    assert (again, headers["Idempotent-Replayed"], len(model.requests)) == (answer, "true", 1)
    assert list(Message.objects.order_by("pk").values_list("role", flat=True)) == ["user", "assistant"]
    first.refresh_from_db()
    assert (first.state, first.error_code) == ("failed", "interrupted")
    assert Trace.objects.exclude(pk=first.pk).get().state == "answered"


def test_what_nobody_repeats_gets_its_outcome_by_the_sweep(web: Processes, model: ModelServer) -> None:
    trace = kill_in_mid_answer(web, model)
    assert end_interrupted() == 0  # it may have begun just now
    Trace.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    Conversation.objects.update(turn_until=timezone.now() + timedelta(seconds=10))
    assert end_interrupted() == 0  # it is still being answered
    Conversation.objects.update(turn_until=timezone.now() - timedelta(seconds=1))
    assert end_interrupted() == 1
    trace.refresh_from_db()
    assert (trace.state, trace.error_code, trace.outcome) == ("failed", "interrupted", {"error": "interrupted"})
