"""What Open WebUI and LibreChat send and read, as seen of Open WebUI 0.12.4 and @librechat/agents 3.9.2."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from chat.models import Conversation, Message
from chat.openai_api.annotations import annotations_for_open_webui
from chat.openai_api.front_end_tasks import answer_to_task
from chat.openai_api.messages import read_messages
from chat.turns.citations import Citation
from tests.chat.openai_api.conftest import QUESTION, text_of
from tests.model_server import ModelServer

HISTORY = f"<chat_history>\nUSER: {QUESTION}\nASSISTANT: Click the link [1].\nUSER: More?\n</chat_history>"
OPEN_WEBUI = {
    "title": (
        '### Task:\nGenerate a concise title.\n### Output:\nJSON format: { "title": "your concise title here" }\n'
        f'### Examples:\n- {{ "title": "Stock Trends" }}\n### Chat History:\n{HISTORY}',
        {"title": QUESTION},
    ),
    "tags": (
        '### Task:\nGenerate 1-3 broad tags, or use only ["General"]\n\n### Output:\nJSON format: { "tags": ["tag1"] }'
        f"\n\n### Chat History:\n{HISTORY}",
        {"tags": []},
    ),
    "follow-ups": (
        '### Task:\nPredict messages.\n- Response must be a JSON object with a "follow_ups" key\n### Output:\n'
        f'JSON format: {{ "follow_ups": ["One"] }}\n### Chat History:\n{HISTORY}',
        {"follow_ups": []},
    ),
    "searches": (
        '### Task:\nAnalyze.\n### Output:\n{\n  "queries": ["query1"]\n}\n\n'
        f"### Chat History:\n{HISTORY}\n",
        {"queries": []},
    ),
    "completion": (
        '### Task:\nContinue the text in `<text>`.\n1. If unsure, return: `{ "text": "" }`.\n---\n### Context:\n'
        f"{HISTORY}\n<type>General</type>\n<text>How do</text>\n#### Output:\n",
        {"text": ""},
    ),
}  # fmt: skip
LIBRECHAT = (
    "Provide a concise, 5-word-or-less title for the conversation, using title case conventions. Only return the title "
    f"itself.\n\nConversation:\nUser: {QUESTION}\nAI: Click the link [1]."
)


@pytest.mark.parametrize(("prompt", "expected"), OPEN_WEBUI.values(), ids=OPEN_WEBUI.keys())
def test_a_task_of_open_webui_gets_its_json(prompt: str, expected: Any) -> None:
    answer = answer_to_task(read_messages([{"role": "user", "content": prompt}]))
    assert answer is not None and json.loads(answer) == expected


@pytest.mark.parametrize(
    "question",
    [QUESTION, "### Task:\nHelp me to bill.", "### Task:\nAnswer by the <context>.\n<user_query>a</user_query>"],
)
def test_a_question_is_no_task(question: str) -> None:
    assert answer_to_task(read_messages([{"role": "user", "content": question}])) is None


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize(("prompt", "expected"), [(LIBRECHAT, QUESTION), (OPEN_WEBUI["tags"][0], '{"tags": []}')])
def test_a_task_is_no_conversation_and_no_call_of_a_model(
    complete: Callable[..., Any], model: ModelServer, prompt: str, expected: str
) -> None:
    response = complete(prompt)
    assert text_of(response) == expected
    assert response.json()["usage"]["total_tokens"] == 0
    streamed = b"".join(complete(prompt, stream=True, stream_options={"include_usage": True})).decode()
    pieces = [json.loads(line[6:]) for line in streamed.split("\n\n") if line.startswith("data: {")]
    assert [piece["choices"][0]["delta"].get("content") for piece in pieces[:2]] == [expected, None]
    assert pieces[1]["choices"][0]["finish_reason"] == "stop" and pieces[2]["usage"]["total_tokens"] == 0
    assert streamed.endswith("data: [DONE]\n\n")
    assert (Conversation.objects.count(), Message.objects.count(), len(model.requests)) == (0, 0, 0)


def citation(number: int, title: str, heading_path: str = "", url: str = "") -> Citation:
    return Citation(
        number=number, document_id=title, title=title, heading_path=heading_path, index="i", version=1, chunk_id=number,
        score=1.0, content="", url=url,
    )  # fmt: skip


def test_open_webui_is_told_each_passage_up_to_the_last_that_is_cited_by_an_address_of_its_own() -> None:
    citations = [
        citation(1, "Reset", url="https://a.example/reset"),
        citation(2, "Reset", "If it fails", url="https://a.example/reset"),
        citation(4, "Mail"),
        citation(5, "Not cited"),
    ]
    told = [item["url_citation"] for item in annotations_for_open_webui("Wait [4]. Try again [2].", citations)]
    assert [(item["url"], item["title"]) for item in told] == [
        ("https://a.example/reset", "Reset"),
        ("https://a.example/reset#:~:passage=2", "Reset: If it fails"),
        ("[3]", "[3]"),
        ("Mail", "Mail"),
    ]
    assert [(item["start_index"], item["end_index"]) for item in told] == [(0, 0), (20, 23), (0, 0), (5, 8)]


@pytest.mark.usefixtures("bot", "model")
def test_only_open_webui_is_told_of_documents_without_a_link(complete: Callable[..., Any]) -> None:
    """It says who asks by headers of its own."""
    told = complete(user=None, headers={"X-OpenWebUI-User-Id": "ana"}).json()["choices"][0]["message"]["annotations"]
    assert [item["url_citation"]["title"] for item in told] == ["Reset your password"]
    assert complete(user="ben").json()["choices"][0]["message"]["annotations"] == []
    assert set(Conversation.objects.values_list("user_id", flat=True)) == {"ana", "ben"}
