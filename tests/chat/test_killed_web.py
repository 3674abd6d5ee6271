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
from asgiref.sync import async_to_sync
from django.utils import timezone

from chat.access.callers import Caller
from chat.engine.interrupted import end_interrupted
from chat.limits.admission import RateLimited
from chat.limits.messages import admit
from chat.models import ApiKey, Conversation, IdempotentRequest, Message
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
        assert asked.result(60) is None
    model.reset()
    a_moment_ago = timezone.now() - timedelta(seconds=1)
    Conversation.objects.update(lease_until=a_moment_ago)
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


def test_what_nobody_repeats_gets_its_outcome_by_the_sweep(web: Processes, model: ModelServer, settings: Any) -> None:
    settings.FABRA_RATE_LIMIT_DEFAULT = 1
    trace = kill_in_mid_answer(web, model)
    assert end_interrupted() == 0  # it may have begun just now
    Trace.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    Conversation.objects.update(lease_until=timezone.now() + timedelta(hours=1))
    assert end_interrupted() == 0  # it is still being answered
    Conversation.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    with pytest.raises(RateLimited):
        async_to_sync(admit)(CHAT["user_id"], None)
    assert end_interrupted() == 1
    assert async_to_sync(admit)(CHAT["user_id"], None).remaining == 0
    trace.refresh_from_db()
    assert (trace.state, trace.error_code, trace.outcome) == ("failed", "interrupted", {"error": "interrupted"})


@pytest.mark.parametrize("is_redis_there", [True, False])
def test_a_lost_answer_counts_against_its_key_no_more(
    is_redis_there: bool, request: pytest.FixtureRequest, settings: Any
) -> None:
    if not is_redis_there:
        request.getfixturevalue("redis_down")
    settings.FABRA_RATE_LIMIT_DEFAULT = None
    key = ApiKey.make("site", [ApiKey.Scope.CHAT], None)[0]
    ApiKey.objects.update(per_day=1)
    key.refresh_from_db()
    caller = Caller(key=key)
    admission = async_to_sync(admit)("ana", None, caller)
    begun = timezone.now() - timedelta(minutes=2)
    trace = Trace.objects.create(
        context="support", user_id="ana", max_tokens=0, tokens=0, kept=0, dropped=0, duration_ms=0, created_at=begun
    )
    conversation = Conversation.objects.create(user_id="ana")
    Message.objects.create(
        conversation=conversation, user_id="ana", role="user", text="Hi", trace=trace, api_key=key,
        count_token=admission.token,
    )  # fmt: skip
    with pytest.raises(RateLimited):
        async_to_sync(admit)("ana", None, caller)
    assert (end_interrupted(), end_interrupted()) == (1, 0)
    assert async_to_sync(admit)("ana", None, caller)
    with pytest.raises(RateLimited):
        async_to_sync(admit)("ana", None, caller)
