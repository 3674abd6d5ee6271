"""Thumbs and comments for answers: once for each user, changeable, one's own conversations only."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.urls import reverse

from chat.access.visitors import COOKIE, remember
from chat.feedback import give_feedback
from chat.models import ApiKey, Conversation, Feedback, Message
from events.models import Event
from events.processing import process
from retrieval.models import GoldenQuestion

pytestmark = pytest.mark.django_db


@pytest.fixture
def answer(settings: Any) -> Message:
    """An answer in a conversation of user_123, in development on loopback."""
    settings.DEBUG = True
    return make_answer("user_123")


def make_answer(user_id: str, role: str = Message.Role.ASSISTANT) -> Message:
    conversation = Conversation.objects.create(user_id=user_id)
    Message.objects.create(conversation=conversation, user_id=user_id, role=Message.Role.USER, text="How?")
    return Message.objects.create(conversation=conversation, user_id=user_id, role=role, text="So.")


def put(client: Client, message_id: Any, body: Any, user_id: str | None = "user_123", **more: Any) -> Any:
    query = f"?user_id={user_id}" if user_id else ""
    url = f"/api/messages/{message_id}/feedback/{query}"
    return client.put(url, body, content_type="application/json", **more)


def events() -> list[dict[str, Any]]:
    return list(Event.objects.filter(event_type="feedback_given").order_by("pk").values_list("payload", flat=True))


def test_feedback_is_kept_changed_and_removed(client: Client, answer: Message) -> None:
    first = put(client, answer.pk, {"value": "up"})
    assert (first.status_code, first.json()) == (200, {"message_id": answer.pk, "value": "up", "comment": ""})
    changed = put(client, answer.pk, {"value": "down", "comment": "It is the old price."})
    assert changed.json() == {"message_id": answer.pk, "value": "down", "comment": "It is the old price."}
    row = Feedback.objects.get()
    assert (row.value, row.comment, row.user_id) == ("down", "It is the old price.", "user_123")
    assert row.updated_at > row.created_at
    removed = put(client, answer.pk, {"value": None})
    assert removed.json() == {"message_id": answer.pk, "value": None, "comment": ""}
    assert not Feedback.objects.exists()


def test_each_change_is_one_event_and_a_repetition_none(client: Client, answer: Message) -> None:
    for body in ({"value": None}, {"value": "down"}, {"value": "down"}, {"value": "down", "comment": "!"}):
        assert put(client, answer.pk, body).status_code == 200
    assert put(client, answer.pk, {"value": None}).status_code == 200
    assert [(event["value"], event["comment"]) for event in events()] == [("down", ""), ("down", "!"), (None, "")]
    assert {event["message_id"] for event in events()} == {answer.pk}
    assert set(Event.objects.filter(event_type="feedback_given").values_list("entity_id", flat=True)) == {"user_123"}


def test_feedback_is_limited_for_each_user(client: Client, answer: Message, settings: Any) -> None:
    settings.FABRA_RATE_LIMIT_FEEDBACK = 2
    for value in ("up", "down"):
        assert put(client, answer.pk, {"value": value}).status_code == 200
    refused = put(client, answer.pk, {"value": "up"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    assert len(events()) == 2
    other = make_answer("ben")
    assert put(client, other.pk, {"value": "up"}, "ben").status_code == 200


def test_a_persons_answer_is_judged_too(client: Client, answer: Message) -> None:
    assert put(client, make_answer("user_123", Message.Role.AGENT).pk, {"value": "up"}).status_code == 200


@pytest.mark.parametrize("role", [Message.Role.USER, Message.Role.NOTICE])
def test_what_is_no_answer_is_not_found(client: Client, answer: Message, role: str) -> None:
    response = put(client, make_answer("user_123", role).pk, {"value": "up"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_another_users_answer_is_not_found(client: Client, answer: Message) -> None:
    assert put(client, answer.pk, {"value": "up"}, user_id="user_456").status_code == 404
    assert put(client, 10**30, {"value": "up"}).status_code == 404
    assert not Feedback.objects.exists() and not events()


@pytest.mark.parametrize(
    "body",
    [
        {}, {"value": "sideways"}, {"value": ""}, {"value": 1}, {"value": ["up"]}, {"value": "up", "comment": None},
        {"value": "up", "comment": 3}, {"value": "up", "comment": "a\x00b"}, {"value": "up", "comment": "x" * 2001},
        {"value": "up", "comment": "\ud800"}, {"value": "\ud800"},
    ],
)  # fmt: skip
def test_bad_input_is_refused(client: Client, answer: Message, body: Any) -> None:
    response = put(client, answer.pk, body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_input")
    assert not Feedback.objects.exists() and not events()


def test_a_visitor_judges_their_own_answers_and_no_others(client: Client, settings: Any) -> None:
    settings.FABRA_CHAT_PUBLIC, settings.DEBUG = True, False
    own, other = make_answer("visitor:abc"), make_answer("user_123")
    assert put(client, own.pk, {"value": "up"}, user_id=None).status_code == 400
    client.cookies[COOKIE] = _signed("abc")
    assert put(client, own.pk, {"value": "up"}, user_id=None).status_code == 200
    assert put(client, other.pk, {"value": "up"}, user_id=None).status_code == 404
    assert put(client, other.pk, {"value": "up"}).json()["error"]["code"] == "user_forbidden"


def _signed(visitor: str) -> str:
    from django.http import HttpResponse

    response = HttpResponse()
    remember(response, visitor)
    return str(response.cookies[COOKIE].value)


def test_a_key_needs_the_scope_of_the_chat_and_its_users(client: Client, settings: Any) -> None:
    settings.DEBUG = False
    answer = make_answer("user_123")
    scoped, bound = ApiKey.make("a", ["chat"])[1], ApiKey.make("b", ["chat"], users=["user_9"])[1]
    ingest = ApiKey.make("c", ["ingest"])[1]

    def with_key(key: str, user_id: str | None = "user_123") -> Any:
        return put(client, answer.pk, {"value": "up"}, user_id, headers={"X-API-Key": key})

    assert with_key(scoped).status_code == 200
    assert with_key(scoped, None).status_code == 400
    assert with_key(bound).json()["error"]["code"] == "user_forbidden"
    assert with_key(ingest).json()["error"]["code"] == "scope_missing"
    assert put(client, answer.pk, {"value": "up"}).status_code == 401


def test_feedback_goes_with_its_conversation(client: Client, answer: Message) -> None:
    put(client, answer.pk, {"value": "down"})
    answer.conversation.delete()
    assert not Feedback.objects.exists()
    assert put(client, answer.pk, {"value": "down"}).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_two_tabs_at_once_leave_one_row(settings: Any) -> None:
    settings.DEBUG = True
    answer = make_answer("user_123")

    def send(value: str) -> int:
        try:
            return int(put(Client(), answer.pk, {"value": value}).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(send, ["up", "down"] * 4)) == {200}
    last = Feedback.objects.get()
    assert events()[-1]["value"] == last.value


class TestHandover:
    def state_after(self, *given: tuple[str | None, str], answer: Message) -> str:
        for value, comment in given:
            give_feedback(answer.pk, "user_123", value, comment)
            for pk in Event.objects.filter(event_type="feedback_given", state="received").values_list("pk", flat=True):
                process(pk)
        return str(Conversation.objects.get(pk=answer.conversation_id).state)

    def test_a_thumbs_down_asks_for_a_person(self, answer: Message) -> None:
        assert self.state_after(("up", ""), answer=answer) == "bot"
        assert self.state_after(("down", ""), answer=answer) == "waiting"

    def test_a_comment_that_is_added_later_does_not_ask_again(self, answer: Message) -> None:
        self.state_after(("down", ""), answer=answer)
        Conversation.objects.update(state="bot")
        assert self.state_after(("down", "Old price."), answer=answer) == "bot"

    def test_one_that_was_taken_back_before_it_was_handled_asks_nobody(self, answer: Message) -> None:
        for value in ("down", None):
            give_feedback(answer.pk, "user_123", value)
        assert self.state_after(answer=answer) == "bot"
        for pk in Event.objects.filter(event_type="feedback_given").values_list("pk", flat=True):
            process(pk)
        assert self.state_after(answer=answer) == "bot"

    def test_in_a_closed_conversation_it_is_kept_and_nobody_is_asked(self, answer: Message) -> None:
        Conversation.objects.update(state="closed")
        assert self.state_after(("down", ""), answer=answer) == "closed"
        assert Feedback.objects.get().value == "down"


class TestAdmin:
    @pytest.fixture
    def judged(self, bot: None, ask: Any, client: Client) -> Feedback:
        """A thumbs-down for an answer about the password."""
        body = ask().json()
        put(client, body["message_id"], {"value": "down", "comment": "It is <b>wrong</b>."})
        return Feedback.objects.get()

    def test_it_is_listed_and_shown_with_its_message_and_trace(self, judged: Feedback, admin_client: Client) -> None:
        trace, conversation = judged.message.trace_id, judged.message.conversation_id
        for name, pk in (("contexts_trace", trace), ("chat_conversation", conversation), ("chat_feedback", judged.pk)):
            page = admin_client.get(reverse(f"admin:{name}_change", args=[pk])).content.decode()
            assert "It is &lt;b&gt;wrong&lt;/b&gt;." in page, name
        url = reverse("admin:chat_feedback_changelist")
        for query, count in ({"value": "up"}, 0), ({"commented": "yes"}, 1), ({"commented": "no"}, 0):
            assert admin_client.get(url, query).context["cl"].result_count == count

    def test_nobody_without_its_permission_sees_it(self, judged: Feedback, client: Client) -> None:
        clerk = User.objects.create_user("clerk", is_staff=True)
        names = ["view_trace", "view_conversation"]
        clerk.user_permissions.set(Permission.objects.filter(codename__in=names))
        client.force_login(clerk)
        for name, pk in (
            ("contexts_trace", judged.message.trace_id),
            ("chat_conversation", judged.message.conversation_id),
        ):
            page = client.get(reverse(f"admin:{name}_change", args=[pk]))
            assert page.status_code == 200 and "wrong" not in page.content.decode()

    def test_a_thumbs_down_becomes_a_golden_question(self, judged: Feedback, admin_client: Client) -> None:
        url = reverse("admin:chat_feedback_golden", args=[judged.pk])
        page = admin_client.get(url)
        form = page.context["form"]
        assert form["question"].value() == "How do I reset my password?"
        assert form["audience"].value() == "premium" and form["tags"].value() == "feedback"
        assert "reset-your-password" in page.content.decode()  # what was found, to choose from
        sent = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
        wrong = admin_client.post(url, sent)
        assert wrong.status_code == 200 and not GoldenQuestion.objects.exists()  # it must say what is right
        assert admin_client.post(url, sent | {"expected_documents": "billing"}).status_code == 302
        golden = GoldenQuestion.objects.get()
        assert (golden.expected_documents, golden.audience, golden.tags) == (["billing"], ["premium"], ["feedback"])
        again = admin_client.get(url)
        assert again.headers["Location"] == reverse("admin:retrieval_goldenquestion_change", args=[golden.pk])

    def test_a_follow_up_becomes_one_with_its_history(self, judged: Feedback, ask: Any, admin_client: Client) -> None:
        body = ask("And for how long?", conversation_id=judged.message.conversation_id).json()
        give_feedback(body["message_id"], "user_123", "down")
        feedback = Feedback.objects.get(message=body["message_id"])
        form = admin_client.get(reverse("admin:chat_feedback_golden", args=[feedback.pk])).context["form"]
        assert form["history"].value() == "How do I reset my password?"

    def test_without_a_trace_there_is_nothing_to_expect(self, answer: Message, admin_client: Client) -> None:
        give_feedback(answer.pk, "user_123", "down")
        url = reverse("admin:chat_feedback_golden", args=[Feedback.objects.get().pk])
        assert admin_client.get(url).status_code == 302
