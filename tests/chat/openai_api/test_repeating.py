"""A request to `/v1/chat/completions` with an Idempotency-Key is answered once, however often it is sent."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from chat.models import IdempotentRequest, Message
from tests.chat.openai_api.conftest import QUESTION, error_of
from tests.model_server import TEXT, ModelServer

KEY = {"Idempotency-Key": "k-1"}
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("bot")]


def streamed(response: Any) -> tuple[list[dict[str, Any]], str]:
    """Return the pieces of a stream, and its whole text."""

    async def read() -> bytes:
        return b"".join([part async for part in response])

    body = async_to_sync(read)() if response.streaming else response.content
    lines = body.decode().strip().split("\n\n")
    assert lines.pop() == "data: [DONE]"
    pieces = [json.loads(line.removeprefix("data: ")) for line in lines]
    deltas = [piece["choices"][0]["delta"] for piece in pieces if piece["choices"]]
    return pieces, "".join(delta.get("content", "") for delta in deltas)


def test_the_answer_comes_again(complete: Callable[..., Any], model: ModelServer) -> None:
    first, second = complete(headers=KEY), complete(headers=KEY)
    assert second.json() == first.json() and second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["X-Request-Id"] == first.headers["X-Request-Id"]
    assert (Message.objects.count(), len(model.requests)) == (2, 1)
    assert error_of(complete("Another question?", headers=KEY)) == (422, "idempotency_key_reused", None)
    ana, ben = ({"Idempotency-Key": "k-2", "X-Fabra-User": name} for name in ("ana", "ben"))
    assert complete(user=..., headers=ana).json() == complete(user=..., headers=ana).json()
    assert error_of(complete(user=..., headers=ben)) == (422, "idempotency_key_reused", None)
    assert error_of(complete(headers={"Idempotency-Key": ""})) == (400, "idempotency_key_invalid", None)


def test_a_stream_comes_again_with_its_text_in_one_piece(complete: Callable[..., Any], model: ModelServer) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}, "headers": KEY}
    first, text = streamed(complete(**options))
    second, again = streamed(complete(**options))
    assert text == again == TEXT and len(first) > len(second) == 4
    assert second[0] == first[0] and second[-2:] == first[-2:]
    assert (Message.objects.count(), len(model.requests)) == (2, 1)


def test_a_client_is_told_to_ask_again_for_an_answer_that_is_on_its_way(
    complete: Callable[..., Any], model: ModelServer, settings: Any
) -> None:
    settings.FABRA_IDEMPOTENCY_WAIT_S = 0.1
    complete(headers=KEY)
    IdempotentRequest.objects.update(status=None, leased_until=timezone.now() + timedelta(minutes=1))
    refused = complete(headers=KEY)
    assert error_of(refused) == (409, "idempotency_in_progress", None)
    assert "X-Should-Retry" not in refused.headers and refused.headers["Retry-After"] == "2"


def test_a_failed_answer_is_asked_for_again(complete: Callable[..., Any], model: ModelServer, settings: Any) -> None:
    """The SDKs send a request again after 5xx: its question is stored once, and so is its answer."""
    patience_s, settings.FABRA_MODEL_TIMEOUT_S = settings.FABRA_MODEL_TIMEOUT_S, 0.5
    model.behaviour = "hang"
    assert complete(headers=KEY).status_code == 504
    assert not IdempotentRequest.objects.exists()
    model.behaviour, settings.FABRA_MODEL_TIMEOUT_S = "answer", patience_s
    assert complete(headers=KEY).status_code == 200
    assert list(Message.objects.order_by("pk").values_list("text", flat=True)) == [QUESTION, TEXT]


def test_a_follow_up_comes_again_from_its_conversation(complete: Callable[..., Any], model: ModelServer) -> None:
    complete()
    first, second = (complete(QUESTION, TEXT, "And on the phone?", headers=KEY) for _ in range(2))
    assert second.json() == first.json()
    # Its answer was stored, but not that it was: as after a crash in between.
    IdempotentRequest.objects.all().delete()
    third = complete(QUESTION, TEXT, "And on the phone?", headers=KEY)
    assert third.json()["fabra"]["message_id"] == first.json()["fabra"]["message_id"]
    assert (Message.objects.count(), len(model.requests)) == (4, 2)
