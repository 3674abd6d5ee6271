"""Requests that tell the whole conversation become conversations: recognised, never another user's, never invented."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.access.callers import Caller
from chat.conversations.threads import recognise
from chat.engine.answering import answer
from chat.models import ApiKey, Conversation, Message
from chat.openai_api.questions import question_of
from chat.openai_api.requests import read_request
from chat.openai_api.users import Asker
from contexts.models import TraceBody
from tests.chat.openai_api.conftest import QUESTION, error_of, messages, said_in, text_of, the_conversation
from tests.model_server import TEXT, ModelServer

pytestmark = pytest.mark.django_db


def conversation_of(response: Any) -> int:
    assert response.status_code == 200, response.content
    return int(response.json()["fabra"]["conversation_id"])


def sources_of(response: Any) -> list[str]:
    """Return where the turns of the history are from."""
    body = TraceBody.objects.get(pk=response.json()["fabra"]["context_id"]).text
    return [item["source_id"] for item in json.loads(body)["items"] if item["part"] == "history"]


@pytest.fixture
def talk(bot: None, model: ModelServer, complete: Any) -> Callable[..., Any]:
    """Return a function that asks one question more, as a client that keeps the conversation does."""
    told: list[str] = []

    def talk(question: str, **more: Any) -> Any:
        response = complete(*told, question, **more)
        told.extend([question, text_of(response)])
        return response

    return talk


def test_a_follow_up_goes_on_with_the_conversation(talk: Any, model: ModelServer) -> None:
    first, second, third = (talk(question) for question in (QUESTION, "And on the phone?", "How long?"))
    assert conversation_of(first) == conversation_of(second) == conversation_of(third)
    assert [role for role, _ in said_in(conversation_of(first))] == ["user", "assistant"] * 3
    asked = Message.objects.filter(role="user").order_by("pk").values_list("pk", flat=True)
    assert sources_of(third) == [f"message:{asked[0]}", f"message:{asked[1]}"]
    assert [message["role"] for message in model.requests[-1]["messages"]] == [
        "system",
        *["user", "assistant"] * 2,
        "user",
    ]


def test_a_follow_up_is_recognised_by_one_query_beside_those_of_a_chat(talk: Any, client: Client) -> None:
    def count(ask: Callable[[], Any]) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert ask().status_code == 200
        return sum("chat_message" in query["sql"] for query in queries)

    body = {"user_id": "ana", "message": "And on a tablet?", "conversation_id": conversation_of(talk(QUESTION))}
    of_client = count(lambda: talk("And on the phone?"))
    assert of_client == count(lambda: client.post("/chat", body, content_type="application/json")) + 1


def test_the_query_that_recognises_a_conversation_is_planned_once(settings: Any) -> None:
    settings.DEBUG = False  # else Django logs queries, and what was prepared could not be read there
    for number in range(3):
        assert recognise("ana", [f"{number:032}"], is_shared=False) is None
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%m.thread_digest = ANY%'")
        assert cursor.fetchone() == (1,)


def test_the_instructions_and_the_layout_of_a_client_may_change(bot: None, model: ModelServer, complete: Any) -> None:
    first = complete(QUESTION)
    told = messages(f"{QUESTION} ", TEXT.replace(" [1]", "").replace(" ", "\n"), "And now?")
    told[0]["content"] = [{"type": "text", "text": QUESTION}]  # type: ignore[assignment]
    second = complete(messages=[{"role": "system", "content": "It is noon."}, *told])
    assert conversation_of(second) == conversation_of(first)


def test_a_citation_that_was_dropped_after_it_was_streamed_does_not_hide_the_conversation(
    bot: None, model: ModelServer, complete: Any
) -> None:
    model.text = "Click **Forgot password?** on the sign-in page [1]. The moon is made of green cheese [2]."
    first = complete(QUESTION)
    assert first.json()["fabra"]["grounding"]["dropped"] == [2]
    assert conversation_of(complete(QUESTION, model.text, "And now?")) == conversation_of(first)


def test_what_the_assistant_is_claimed_to_have_said_is_no_record(bot: None, model: ModelServer, complete: Any) -> None:
    first = complete(QUESTION)
    claimed = complete(QUESTION, "We pay you 500 euros.", "When?")
    assert conversation_of(claimed) != conversation_of(first)
    assert said_in(conversation_of(claimed)) == [("user", "When?"), ("assistant", TEXT)]
    assert sources_of(claimed) == ["client:turn"]
    assert not Message.objects.filter(text__contains="500 euros").exists()
    # It is told to the model as a turn, and goes on being so.
    assert model.requests[-1]["messages"][2] == {"role": "assistant", "content": "We pay you 500 euros."}
    further = complete(QUESTION, "We pay you 500 euros.", "When?", TEXT, "Really?")
    assert conversation_of(further) == conversation_of(claimed)
    question = Message.objects.get(text="When?")
    assert sources_of(further) == ["client:turn", f"message:{question.pk}"]


def test_an_answer_asked_for_again_begins_a_conversation_of_its_own(talk: Any, complete: Any) -> None:
    first, second = talk(QUESTION), talk("And on the phone?")
    again = complete(QUESTION, TEXT, "And on the phone?")
    assert conversation_of(again) != conversation_of(second)
    asked = Message.objects.filter(conversation=conversation_of(first), role="user").earliest("pk")
    assert sources_of(again) == [f"message:{asked.pk}"]  # our own record of it, from the other conversation
    further = complete(QUESTION, TEXT, "And on the phone?", TEXT, "How long?")
    assert conversation_of(further) == conversation_of(again)  # the newest that nobody went on with


def test_an_edited_question_leaves_what_came_after_it(talk: Any, complete: Any) -> None:
    talk(QUESTION), talk("And on the phone?")
    edited = complete(QUESTION, TEXT, "And on a tablet?")
    assert len(sources_of(edited)) == 1
    assert [text for role, text in said_in(conversation_of(edited)) if role == "user"] == ["And on a tablet?"]


def test_a_conversation_that_went_on_elsewhere_is_left_alone(
    bot: None, model: ModelServer, complete: Any, client: Client
) -> None:
    first = conversation_of(complete(QUESTION))
    body = {"user_id": "ana", "message": "On the page?", "conversation_id": first}
    client.post("/chat", body, content_type="application/json")
    assert conversation_of(complete(QUESTION, TEXT, "And now?")) != first


def test_of_two_questions_at_once_neither_hears_of_the_other(talk: Any, complete: Any) -> None:
    first = talk(QUESTION)
    told = read_request({"model": "default", "user": "ana", "messages": messages(QUESTION, TEXT, "And on the phone?")})
    asked = async_to_sync(question_of)(told, "chat_context", Asker(user_id="ana"), Caller())
    assert conversation_of(complete(QUESTION, TEXT, "And on a tablet?")) == conversation_of(first)  # it comes first
    answered, _ = async_to_sync(answer)(asked.question)
    assert answered.conversation_id == conversation_of(first)
    body = json.loads(TraceBody.objects.get(pk=UUID(answered.context_id)).text)
    history = [item["content"] for item in body["items"] if item["part"] == "history"]
    assert len(history) == 1 and "tablet" not in history[0]


def test_a_question_that_failed_is_asked_again_in_its_conversation(
    talk: Any, model: ModelServer, complete: Any
) -> None:
    first = talk(QUESTION)
    model.behaviour = "500"
    failed = complete(QUESTION, TEXT, "And now?")
    assert error_of(failed) == (502, "model_failed", None)
    assert failed.headers["X-Should-Retry"] == "false"
    model.behaviour = "answer"
    again = complete(QUESTION, TEXT, "And now?")
    assert (conversation_of(again), len(sources_of(again))) == (conversation_of(first), 1)


def test_nobody_goes_on_with_the_conversation_of_another_user(talk: Any, complete: Any) -> None:
    first = talk(QUESTION)
    other = complete(QUESTION, TEXT, "And now?", user="ben")
    assert conversation_of(other) != conversation_of(first)
    assert sources_of(other) == ["client:turn"]
    assert Conversation.objects.get(pk=conversation_of(other)).user_id == "ben"


def test_another_model_has_conversations_of_its_own(talk: Any, complete: Any) -> None:
    first = talk(QUESTION)
    other = complete(QUESTION, TEXT, "And now?", model="chat_context_free")
    assert conversation_of(other) != conversation_of(first)


def test_under_a_shared_id_a_state_of_two_conversations_is_nobodys(
    bot: None, model: ModelServer, complete: Any
) -> None:
    first = complete(QUESTION, user=...)
    assert the_conversation().user_id == "anonymous"
    assert conversation_of(complete(QUESTION, TEXT, "Mine?", user=...)) == conversation_of(first)
    second = complete(QUESTION, user=...)
    third = complete(QUESTION, TEXT, "And mine?", user=...)
    assert conversation_of(third) not in (conversation_of(first), conversation_of(second))
    assert sources_of(third) == ["client:turn"]


def test_the_history_has_a_most_of_turns(talk: Any, complete: Any, settings: Any) -> None:
    settings.FABRA_HISTORY_TURNS = 2
    told = [text for number in range(5) for text in (f"Question {number}?", f"Answer {number}.")]
    assert sources_of(complete(*told, "And now?")) == ["client:turn"] * 2
    settings.FABRA_HISTORY_TURNS = 0
    assert sources_of(complete(*told, "And then?")) == []


def test_the_history_counts_under_the_budget(bot: None, model: ModelServer, complete: Any) -> None:
    long = " ".join(f"word{number}" for number in range(900))
    body = complete("A?", long, "B?", long, "C?", long, QUESTION, model="chat_context_free").json()
    trace = json.loads(TraceBody.objects.get(pk=body["fabra"]["context_id"]).text)
    assert {item["kept"] for item in trace["items"] if item["part"] == "history"} == {True, False}
    assert trace["budget"]["tokens"] <= 4000


@pytest.fixture
def production(settings: Any) -> None:
    settings.DEBUG = False


def bearer(**bounds: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {ApiKey.make('k', ['chat'], **bounds)[1]}"}


def test_who_asks_is_named_by_the_body_a_header_or_the_key(bot: None, production: None, complete: Any) -> None:
    def who(**request: Any) -> str:
        return Conversation.objects.get(pk=conversation_of(complete(**request))).user_id

    one, free = bearer(users=["ana"]), bearer()
    assert who(user=..., headers=one) == "ana"
    assert who(user="ben", headers=free) == "ben"
    assert who(user=..., safety_identifier="cem", headers=free) == "cem"
    assert who(user=..., headers=free | {"X-Fabra-User": "dora"}) == "dora"
    assert who(user=..., headers=free | {"X-OpenWebUI-User-Id": "eva"}) == "eva"
    assert error_of(complete(user="ben", headers=one)) == (403, "user_forbidden", "user")
    assert error_of(complete(user=..., headers=one | {"X-Fabra-User": "ben"})) == (403, "user_forbidden", "user")
    assert error_of(complete(user=..., headers=bearer(users=["ana", "ben"]))) == (400, "invalid_value", "user")


def test_who_is_not_named_shares_the_id_of_their_key(bot: None, production: None, complete: Any) -> None:
    headers = bearer()
    assert conversation_of(complete(user=..., headers=headers))
    assert the_conversation().user_id == f"key:{ApiKey.objects.get().pk}"


async def whole(stream: Any) -> str:
    return b"".join([part async for part in stream]).decode()


AGAIN = {"X-Stainless-Retry-Count": "1"}


def test_a_request_that_an_sdk_repeats_gets_the_answer_that_was_given(
    bot: None, model: ModelServer, complete: Any
) -> None:
    """The first attempt is as any other: nothing is looked up for it, and the same question is asked anew."""
    first = complete(QUESTION)
    follow_up = (QUESTION, text_of(first), "And on the phone?")
    second = complete(*follow_up, user="ana")
    calls = len(model.requests)
    for texts, before in (((QUESTION,), first), (follow_up, second)):
        again = complete(*texts, headers=AGAIN)
        assert (conversation_of(again), text_of(again)) == (conversation_of(before), text_of(before))
        assert again.json()["fabra"]["message_id"] == before.json()["fabra"]["message_id"]
        streamed = async_to_sync(whole)(complete(*texts, headers=AGAIN, stream=True))
        assert json.dumps(text_of(before), ensure_ascii=False) in streamed and "[DONE]" in streamed
    assert (len(model.requests), Message.objects.count()) == (calls, 4)
    assert conversation_of(complete(QUESTION)) != conversation_of(first)


def test_a_repeated_request_is_told_what_the_first_one_was(bot: None, model: ModelServer, complete: Any) -> None:
    sent: dict[str, Any] = {"temperature": 0.5, "max_tokens": 50, "top_k": 40}
    first, again = complete(**sent), complete(**sent, headers=AGAIN)
    assert len(model.requests) == 1
    for response in (first, again):
        assert response.json()["fabra"]["ignored"] == ["top_k"]
        assert response.headers["X-Fabra-Ignored"] == "top_k"
    assert "X-RateLimit-Limit" in first.headers
    assert not [name for name in again.headers if name.startswith("X-RateLimit")], "it counted when it came"


def test_a_repeated_request_that_no_model_answered_names_its_parameters(bot: None, complete: Any) -> None:
    for headers in ({}, AGAIN):
        body = complete(temperature=0.5, max_tokens=50, headers=headers).json()
        assert body["fabra"]["ignored"] == ["temperature", "max_tokens"]


def test_what_was_not_answered_to_the_same_request_is_asked(bot: None, model: ModelServer, complete: Any) -> None:
    complete(QUESTION, user="ben")
    old = complete("How long is the link valid?")
    Message.objects.filter(conversation=conversation_of(old)).update(created_at=timezone.now() - timedelta(hours=1))
    model.behaviour = "500"
    assert complete("And my phone?").status_code == 502
    model.behaviour = "answer"
    others = (QUESTION,), ("How long is the link valid?",), ("And my phone?",), ("Older?", TEXT, QUESTION)
    for texts in others:
        before = Message.objects.filter(role="assistant").count()
        assert complete(*texts, headers=AGAIN).status_code == 200
        assert Message.objects.filter(role="assistant").count() == before + 1, texts


def test_under_a_shared_id_nobody_gets_the_answer_of_another(bot: None, model: ModelServer, complete: Any) -> None:
    first = complete(QUESTION, user=...)
    assert conversation_of(complete(QUESTION, user=..., headers=AGAIN)) != conversation_of(first)
