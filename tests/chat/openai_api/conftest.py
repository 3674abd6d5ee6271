from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from chat.models import Conversation, Message

QUESTION = "How do I reset my password?"


def messages(*texts: str) -> list[dict[str, str]]:
    """Return what was said, by turns: the user's first."""
    return [{"role": "assistant" if index % 2 else "user", "content": text} for index, text in enumerate(texts)]


def text_of(response: Any) -> str:
    assert response.status_code == 200, response.content
    return str(response.json()["choices"][0]["message"]["content"])


def error_of(response: Any) -> tuple[int, str, str | None]:
    """Return status, code and parameter of an error; fail unless it has OpenAI's shape."""
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"] and error["type"]
    return response.status_code, error["code"], error["param"]


def said_in(conversation_id: int) -> list[tuple[str, str]]:
    rows = Message.objects.filter(conversation=conversation_id).order_by("pk")
    return list(rows.values_list("role", "text"))


def the_conversation() -> Conversation:
    return Conversation.objects.get()


@pytest.fixture
def complete(client: Client) -> Callable[..., Any]:
    """Return a function that posts to `/v1/chat/completions`, as the user `ana` unless it says otherwise."""

    def complete(*texts: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
        body = {"model": "default", "user": "ana", "messages": messages(*(texts or (QUESTION,))), **more}
        body = {name: value for name, value in body.items() if value is not ...}
        return client.post("/v1/chat/completions", body, content_type="application/json", headers=headers or {})

    return complete
