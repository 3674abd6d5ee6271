"""What the bot does while a person is asked, answers, and gives the conversation back, however messages race."""

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from chat.access.callers import Caller
from chat.conversations.open_questions import open_questions
from chat.definitions import passages, store
from chat.engine import unanswered
from chat.engine.answering import answer, run
from chat.engine.beginning import begin
from chat.handover import actions
from chat.models import ApiKey, Conversation, HandoverSettings, Message
from chat.turns.turn import Question
from common.background import finish_spawned
from common.redis import plain_redis, redis_key
from contexts.declaration import context
from contexts.items import ContextItem, Escalation, escalate
from contexts.models import Trace
from events.models import Event
from retrieval.indexing.documents import index_document
from retrieval.models import Index
from tests.chat.test_handover import agent_named
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def kim(transactional_db: Any) -> User:
    return agent_named("kim", first_name="Kim")


@pytest.fixture
def say(small: ModelServer, client: Client) -> Callable[..., Any]:
    """Return a function that says something in one conversation over REST."""
    known: dict[str, int] = {}

    def say(message: str, **more: Any) -> Any:
        body = {"user_id": "ana", "message": message, **known, **more}
        response = client.post("/chat", body, content_type="application/json")
        if response["Content-Type"] == "application/json" and response.status_code < 300:
            known["conversation_id"] = response.json()["conversation_id"]
        return response

    return say


def of(body: Any) -> Conversation:
    return Conversation.objects.get(pk=body["conversation_id"])


def roles(body: Any) -> list[str]:
    return [message.role for message in of(body).messages.order_by("pk")]


def event_types() -> list[str]:
    return [
        name for name in Event.objects.order_by("pk").values_list("event_type", flat=True) if name != "message_sent"
    ]


def test_a_message_to_a_person_reaches_no_model_and_is_kept(
    say: Any, small: ModelServer, kim: User, settings: Any
) -> None:
    settings.FABRA_RATE_LIMIT_DEFAULT = 2
    begun = say("One?").json()
    assert begun["state"] == "bot"
    actions.assign(begun["conversation_id"], kim)
    response = say("Are you there?")
    body = response.json()
    assert (response.status_code, body["response"], body["state"], body["context_id"]) == (202, "", "person", None)
    message = Message.objects.get(pk=body["message_id"])
    assert (message.role, message.text, message.trace) == ("user", "Are you there?", None)
    assert of(begun).unanswered_since == message.created_at
    assert len(small.requests) == Trace.objects.count() == 1
    told = Event.objects.filter(event_type="message_sent").order_by("pk")
    assert [event.payload["message_id"] for event in told][1:] == [message.pk]
    assert told[1].payload == {"conversation_id": of(begun).pk, "message_id": message.pk, "context_id": None}


def test_streamed_it_is_said_with_the_same_words(say: Any, kim: User) -> None:
    begun = say("One?").json()
    actions.assign(begun["conversation_id"], kim)
    response = say("Are you there?", stream=True)
    assert response.status_code == 202
    raw = b"".join(async_to_sync(_all)(response.streaming_content)).decode()
    names, bodies = zip(*(part.split("\n", 1) for part in raw.strip().split("\n\n")), strict=True)
    assert names == ("event: start", "event: done")
    done = json.loads(bodies[1].removeprefix("data: "))
    assert (done["response"], done["state"]) == ("", "person")


async def _all(content: Any) -> list[bytes]:
    return [piece async for piece in content]


def test_a_wish_in_words_asks_for_a_person_and_the_bot_goes_on_while_nobody_comes(say: Any, small: ModelServer) -> None:
    first = say("I want to talk to a human").json()
    assert (first["state"], first["flags"]) == ("waiting", ["escalated"])
    assert "person was asked" in first["response"]
    assert Message.objects.get(pk=first["message_id"]).role == "notice"
    again = say("human please").json()
    assert (again["flags"], again["message_id"] != first["message_id"]) == (["still_waiting"], True)
    assert small.requests == []
    answered = say("How do I pay?").json()
    assert (answered["response"], answered["state"]) == (small.text, "waiting")
    assert event_types() == ["conversation_escalated"]
    assert roles(first) == ["user", "notice", "user", "notice", "user", "assistant"]


def test_an_address_is_taken_while_nobody_is_there(say: Any, small: ModelServer) -> None:
    say("human please")
    mistyped = say("ana@example").json()
    assert mistyped["response"] == "That is no e-mail address. Please check it, and send it again."
    assert (of(mistyped).contact, mistyped["flags"]) == ("", ["contact_mistyped"])
    assert open_questions(of(mistyped).pk)[1:] == []  # it is not asked later, either
    body = say(" ana@example.com ").json()
    assert (of(body).contact, body["flags"]) == ("ana@example.com", ["contact_kept"])
    corrected = say("Sorry, it is ana@example.org.").json()
    assert (of(body).contact, corrected["flags"]) == ("ana@example.org", ["contact_kept"])
    again = say("ana@example.org").json()  # each time the customer reads that it has arrived
    assert again["flags"] == ["contact_kept"] and again["message_id"] > corrected["message_id"]
    assert say("Does ana@example.org work as a user name?").json()["response"] == small.text
    assert event_types() == ["conversation_escalated", "contact_left", "contact_left"]


def test_the_button_and_the_address_are_endpoints_of_ones_own_conversation(say: Any, client: Client) -> None:
    body = say("One?").json()
    url = f"/api/conversations/{body['conversation_id']}"

    def post(path: str, user: str, **data: Any) -> Any:
        return client.post(f"{url}/{path}/?user_id={user}", data, content_type="application/json")

    for path, data in (("escalate", {}), ("contact", {"email": "ana@example.com"})):
        refused = post(path, "ben", **data)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "conversation_not_found")
    assert of(body).state == "bot"
    for _ in range(2):
        done = post("escalate", "ana")
        assert (done.status_code, done.json()["state"]) == (200, "waiting")
    assert post("contact", "ana", email="ana@example.com").status_code == 200
    for wrong in ({"email": "x"}, {"email": 1}, {}):
        assert post("contact", "ana", **wrong).status_code == 400
    assert of(body).contact == "ana@example.com"
    assert event_types() == ["conversation_escalated", "contact_left"]
    actions.close(body["conversation_id"], agent_named("kim"))
    closed = post("escalate", "ana")
    assert (closed.status_code, closed.json()["error"]["code"]) == (409, "conversation_state")
    assert closed.json()["error"]["message"] == (
        "The conversation is closed and stays so; the customer's next message begins a new one."
    )


def test_a_person_is_asked_after_not_knowing_twice_running(say: Any, small: ModelServer) -> None:
    """By the model's words, with an answer and small talk between."""
    known, unknown = small.text, "I do not know that. Please write to support."

    def answered(text: str, question: str = "How do I pay?") -> Any:
        small.text = text
        return say(question).json()

    begun = answered(unknown)
    assert (begun["state"], begun["flags"]) == ("bot", ["not_known"])
    assert answered(known)["state"] == "bot"
    assert answered(unknown)["state"] == "bot"
    assert answered(unknown, "Thanks!")["flags"] == ["small_talk"]
    last = answered(unknown, "How do I pay by card?")
    assert last["state"] == "waiting"
    assert "person was asked" in last["notices"][0]
    event = Event.objects.get(event_type="conversation_escalated")
    assert event.payload["reason"] == "not_known_twice"
    assert roles(begun)[-2:] == ["assistant", "notice"]
    assert "state" in answered(unknown) and event_types().count("conversation_escalated") == 1


@pytest.mark.parametrize("said", ["The card form is on the billing page.", ""])
def test_a_person_who_came_between_begins_the_count_of_what_is_not_known_anew(
    say: Any, small: ModelServer, kim: User, said: str
) -> None:
    small.text = "I do not know that."
    begun = say("How do I pay?").json()
    actions.assign(begun["conversation_id"], kim)
    if said:
        actions.send_as_agent(begun["conversation_id"], kim, said)
    actions.hand_back(begun["conversation_id"], kim)
    assert say("And by card?").json()["state"] == "bot"
    assert say("And by invoice?").json()["state"] == "waiting"


def test_below_the_threshold_twice_running_counts_as_the_models_words_do(
    say: Any, small: ModelServer, use_context: Callable[[Any], None]
) -> None:
    index_document("knowledge_base", "billing", "# Billing\n\nInvoices are sent on the first of each month.")

    @context(name="searching", max_tokens=1000)
    async def searching(user_id: str, query: str) -> list[ContextItem]:
        return passages(await store.search("knowledge_base", query))

    use_context(searching)
    index = Index.objects.select_related("generation").get(name="knowledge_base")
    index.set_threshold(1.7, index.score_basis(), by="test")
    first = say("Who paints zebras?").json()
    assert (first["state"], first["flags"], small.requests) == ("bot", ["not_known"], [])
    index.set_threshold(None, index.score_basis(), by="test")
    small.text = "I do not know who does that."
    second = say("Who paints quinces?").json()
    assert (second["state"], second["flags"], len(small.requests)) == ("waiting", ["not_known"], 1)


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_context_function_asks_for_a_person(
    is_alone: bool, say: Any, small: ModelServer, use_context: Callable[[Any], None]
) -> None:
    @context(name="careful", max_tokens=1000)
    async def careful(user_id: str, query: str) -> list[ContextItem | Escalation] | Escalation:
        wish = escalate("A cancellation is a person's to handle.")
        return wish if is_alone else [ContextItem("Be kind.", required=True), wish]

    use_context(careful)
    body = say("Cancel my contract").json()
    assert body["state"] == "waiting"
    assert len(small.requests) == (0 if is_alone else 1)
    told = body["response"] if is_alone else body["notices"][0]
    assert "person was asked" in told
    trace = Trace.objects.select_related("body").get(pk=body["context_id"])
    assert json.loads(trace.body.text)["escalation"] == "A cancellation is a person's to handle."
    assert trace.state == "answered"
    assert of(body).escalation_reason == "A cancellation is a person's to handle."
    again = say("Cancel it!").json()
    assert again["flags"] == (["still_waiting"] if is_alone else [])
    assert event_types() == ["conversation_escalated"]


def taken_over_while_answering(small: ModelServer, kim: User) -> tuple[int, list[Any]]:
    """Ask in a new conversation, have Kim take it over while the model answers, and return what was yielded."""
    small.delay_s = 0.5

    async def ask() -> list[Any]:
        turn = await begin(Question(user_id="ana", message="One?"))
        await asyncio.to_thread(_assign, turn.conversation_id, kim)
        return [turn.conversation_id, *[piece async for piece in run(turn, is_streamed=True)]]

    conversation_id, *pieces = async_to_sync(ask)()
    return conversation_id, pieces


def _assign(conversation_id: int, agent: User) -> None:
    actions.assign(conversation_id, agent)
    connection.close()


def test_an_answer_during_which_a_person_took_over_is_dropped(small: ModelServer, kim: User) -> None:
    conversation_id, pieces = taken_over_while_answering(small, kim)
    last = pieces[-1]
    assert (last.response, last.is_dropped, last.state, last.status) == ("", True, "person", 202)
    conversation = Conversation.objects.get(pk=conversation_id)
    assert [message.role for message in conversation.messages.all()] == ["user", "notice"]
    trace = Trace.objects.get()
    assert (trace.state, trace.error_code) == ("failed", "person_took_over")
    assert trace.answer.startswith("Click")  # what it would have said
    assert conversation.unanswered_since is not None


def test_the_bot_answers_what_the_person_hands_back_unanswered_and_once(small: ModelServer, kim: User) -> None:
    conversation_id, _ = taken_over_while_answering(small, kim)
    small.delay_s = 0
    actions.hand_back(conversation_id, kim)

    def work() -> None:
        async_to_sync(unanswered.answer_last)(conversation_id)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    conversation = Conversation.objects.get(pk=conversation_id)
    assert [message.role for message in conversation.messages.order_by("pk")] == [
        "user",
        "notice",
        "notice",
        "assistant",
    ]
    assert conversation.unanswered_since is None
    assert len(small.requests) == 2
    assert Event.objects.filter(event_type="message_sent").count() == 1


def test_after_a_person_the_model_knows_what_was_said(say: Any, small: ModelServer, kim: User) -> None:
    begun = say("One?").json()
    actions.assign(begun["conversation_id"], kim)
    say("Two?")
    say("Hello?")
    actions.send_as_agent(begun["conversation_id"], kim, "I am here.")
    actions.send_as_agent(begun["conversation_id"], kim, "It is on the second page.")
    actions.hand_back(begun["conversation_id"], kim)
    assert say("Three?").json()["response"] == small.text
    assert [message["content"] for message in small.requests[-1]["messages"]][1:] == [
        "One?",
        small.text.replace(" [1]", ""),
        "Two?\n\nHello?",
        "I am here.\n\nIt is on the second page.",
        "Three?",
    ]


def test_the_sweep_takes_back_what_people_left(say: Any, small: ModelServer, kim: User) -> None:
    HandoverSettings.objects.update_or_create(pk=1, defaults={"unanswered_after_min": 5})
    late = say("One?").json()["conversation_id"]
    gone = say("One?", conversation_id=None).json()["conversation_id"]
    kept = say("One?", conversation_id=None).json()["conversation_id"]
    lee = agent_named("lee")
    for pk, agent in ((late, kim), (gone, lee), (kept, kim)):
        actions.assign(pk, agent)
        say("Where is my invoice?", conversation_id=pk)
    long_ago = timezone.now() - timedelta(minutes=6)
    Conversation.objects.filter(pk=late).update(unanswered_since=long_ago, state_changed_at=long_ago)
    lee.delete()
    unanswered.take_back()
    unanswered.take_back()
    states = dict(Conversation.objects.values_list("pk", "state"))
    assert states == {late: "bot", gone: "waiting", kept: "person"}
    assert sorted(event_types()[3:]) == ["conversation_escalated", "conversation_handed_back"]
    # The broker has a task for each that the bot is to answer; where it lost them, a later sweep enqueues them again.
    assert _enqueued("chat.tasks.answer_unanswered") == 2
    plain_redis().delete(redis_key("celery", "models"))
    unanswered.enqueue_forgotten()
    assert _enqueued("chat.tasks.answer_unanswered") == 0
    Conversation.objects.exclude(pk=kept).update(state_changed_at=timezone.now() - timedelta(minutes=1))
    unanswered.enqueue_forgotten()
    assert _enqueued("chat.tasks.answer_unanswered") == 2
    for pk in (late, gone):
        assert async_to_sync(unanswered.answer_last)(pk)
        assert Message.objects.filter(conversation=pk).latest("pk").text == small.text
        assert not async_to_sync(unanswered.answer_last)(pk)


def test_what_a_key_sent_to_a_person_is_answered_within_the_keys_bounds(
    small: ModelServer, kim: User, another_context: str
) -> None:
    def left_to_the_bot(key: ApiKey, name: str = "") -> int:
        begun, _ = async_to_sync(answer)(Question(user_id="ana", message="One?"))
        actions.assign(begun.conversation_id, kim)
        asked = Question(
            user_id="ana",
            message="Two?",
            conversation_id=begun.conversation_id,
            context=name,
            caller=Caller(key=key),
        )
        assert async_to_sync(answer)(asked)[0].status == 202
        actions.hand_back(begun.conversation_id, kim)
        return begun.conversation_id

    bound, _ = ApiKey.make("site", ["chat"], contexts=[another_context])
    free, _ = ApiKey.make("server", ["chat"])
    for key, name in ((bound, ""), (free, another_context)):
        assert async_to_sync(unanswered.answer_last)(left_to_the_bot(key, name))
        assert Trace.objects.latest("created_at").context == another_context
    bound.contexts = ["chat_context_free"]  # it is bound to another one since
    bound.save()
    conversation_id = left_to_the_bot(bound)
    ApiKey.objects.filter(pk=bound.pk).update(contexts=[another_context])
    assert not async_to_sync(unanswered.answer_last)(conversation_id)


def _enqueued(task: str) -> int:
    return sum(task in entry for entry in plain_redis().lrange(redis_key("celery", "models"), 0, -1))


def test_a_message_to_a_closed_conversation_opens_a_new_one_and_says_so(say: Any, kim: User) -> None:
    first = say("One?").json()
    actions.assign(first["conversation_id"], kim)
    actions.close(first["conversation_id"], kim)
    second = say("Two?").json()
    assert second["conversation_was_closed"] is True
    assert (second["state"], bool(second["response"])) == ("bot", True)
    assert second["conversation_id"] != first["conversation_id"]
    assert second["notices"] == ["Your last conversation was closed, so this is a new one."]
    assert sorted(roles(second)) == ["assistant", "notice", "user"]
    assert "conversation_was_closed" not in say("Three?").json()
    wish = say("human please", conversation_id=first["conversation_id"]).json()
    assert wish["conversation_was_closed"] is True
    assert roles(wish) == ["notice", "user", "notice"]


def test_what_was_sent_to_a_person_twice_is_stored_once(say: Any, kim: User) -> None:
    from uuid import uuid4

    begun = say("One?").json()
    actions.assign(begun["conversation_id"], kim)
    name = str(uuid4())
    first, second = (say("Are you there?", client_id=name) for _ in range(2))
    assert first.json() == second.json()
    assert (first.status_code, second.status_code) == (202, 202)
    assert roles(begun) == ["user", "assistant", "notice", "user"]


def test_with_redis_down_people_still_take_over(say: Any, small: ModelServer, kim: User, redis_down: None) -> None:
    begun = say("One?").json()
    actions.assign(begun["conversation_id"], kim)
    assert say("Are you there?").status_code == 202
    actions.send_as_agent(begun["conversation_id"], kim, "Yes.")
    actions.hand_back(begun["conversation_id"], kim)
    assert say("Two?").json()["response"] == small.text
    assert roles(begun) == ["user", "assistant", "notice", "user", "agent", "notice", "user", "assistant"]


@pytest.mark.parametrize("seed", range(4))
def test_however_they_race_the_bot_is_silent_while_a_person_holds_it(
    seed: int, small: ModelServer, kim: User, settings: Any
) -> None:
    """Questions, takeovers and hand-backs at once: no answer stands between a takeover and its end."""
    import random

    chance = random.Random(seed)
    small.delay_s = 0.02
    settings.FABRA_RATE_LIMIT_DEFAULT = 1000
    conversation = async_to_sync(answer)(Question(user_id="ana", message="One?"))[0].conversation_id
    failures: list[BaseException] = []

    def asks() -> None:
        async def ask() -> None:
            for number in range(5):
                await asyncio.sleep(chance.random() * 0.1)
                await answer(Question(user_id="ana", message=f"{number}?", conversation_id=conversation))
            await finish_spawned()

        _noting(failures, lambda: asyncio.run(ask()))

    def holds() -> None:
        def work() -> None:
            for _ in range(6):
                threading.Event().wait(chance.random() * 0.1)
                actions.assign(conversation, kim)
                threading.Event().wait(chance.random() * 0.1)
                actions.hand_back(conversation, kim)

        _noting(failures, work)

    threads = [threading.Thread(target=work) for work in (asks, asks, holds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(sync_to_async(_disconnect)())  # in the thread that the loops shared
    assert failures == []
    is_held, asked = False, []
    for message in Message.objects.filter(conversation=conversation).order_by("pk"):
        if message.role == "notice":
            is_held = message.flags == ["assigned"]
        assert not (is_held and message.role == "assistant")
        asked += [message.text] if message.role == "user" else []
    assert len(asked) == 11  # nothing is lost, and nothing stored twice
    assert Conversation.objects.get().queue == []


def _disconnect() -> None:
    connection.close()


def _noting(failures: list[BaseException], work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException as error:
        failures.append(error)
    finally:
        connection.close()
