"""Another desk answers customers over HTTP: who may, in whose name, within a key's bounds, and once."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from chat.models import ApiKey, AuditEntry, Conversation, IdempotentRequest, Message
from events.models import Event
from tests.chat.test_handover import agent_named

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def production(settings: Any) -> None:
    settings.DEBUG = False


@pytest.fixture
def kim(db: None) -> User:
    return agent_named("kim", first_name="Kim", last_name="Berg")


@pytest.fixture
def talk(db: None) -> Conversation:
    conversation = Conversation.objects.create(user_id="ana", title="Where is my invoice?")
    Message.objects.create(conversation=conversation, user_id="ana", role="user", text="Where is my invoice?")
    return conversation


class Desk:
    """A desk with a key."""

    def __init__(self, *scopes: str, **bounds: Any) -> None:
        self.row, self.key = ApiKey.make("desk", list(scopes or ["desk"]), **bounds)

    def __call__(self, conversation: Conversation | int, action: str, key: str = "", **body: Any) -> Any:
        pk = conversation if isinstance(conversation, int) else conversation.pk
        headers = {"Authorization": f"Bearer {self.key}"} | ({"Idempotency-Key": key} if key else {})
        url = f"/api/conversations/{pk}/{action}/"
        return Client().post(url, json.dumps(body), content_type="application/json", headers=headers)


def code_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_a_desk_takes_answers_passes_on_hands_back_and_closes(talk: Conversation, kim: User) -> None:
    agent_named("lee")
    desk = Desk()
    person = {"conversation_id": talk.pk, "state": "person", "agent": "Kim Berg"}
    assert desk(talk, "assign", agent="kim").json() == person
    replied = desk(talk, "reply", agent="kim", text="It is **here**.").json()
    message = Message.objects.get(role="agent")
    assert replied == person | {"message_id": message.pk}
    assert (message.text, message.author) == ("It is **here**.", kim)
    assert desk(talk, "transfer", agent="kim", to="lee").json()["agent"] == "Support"  # Lee has no name for customers
    assert code_of(desk(talk, "reply", agent="kim", text="Me?")) == (409, "conversation_state")
    assert desk(talk, "transfer", agent="lee", to=None).json()["state"] == "waiting"
    assert desk(talk, "hand_back", agent="lee").json()["state"] == "bot"
    assert desk(talk, "transfer", agent="lee", to=None).json()["state"] == "waiting"
    assert desk(talk, "close", agent="lee", note="Sent again.").json()["state"] == "closed"
    closed = Event.objects.get(event_type="conversation_closed").payload
    assert (closed["agent"], closed["note"]) == ("lee", "Sent again.")
    done = ["take over", "reply", "pass on", "reply", "pass on", "hand back", "pass on", "close"]
    assert list(AuditEntry.objects.order_by("pk").values_list("action", flat=True)) == done


def test_the_key_of_an_agent_acts_in_their_name(talk: Conversation, kim: User) -> None:
    agent_named("lee")
    desk = Desk(owner=kim)
    assert desk(talk, "assign").json()["agent"] == "Kim Berg"
    assert code_of(desk(talk, "reply", agent="lee", text="As Lee")) == (403, "agent_forbidden")
    kim.user_permissions.add(Permission.objects.get(codename="reassign_conversation"))
    assert desk(talk, "transfer", agent="kim", to="lee").status_code == 200
    assert desk(talk, "reply", agent="lee", text="As Lee").status_code == 200
    kim.user_permissions.clear()
    assert code_of(desk(talk, "close", agent="kim")) == (403, "permission_denied")


def test_who_may_not(talk: Conversation, kim: User, client: Client) -> None:
    User.objects.create_user("ben")
    assert code_of(Desk("chat", "ingest")(talk, "assign", agent="kim")) == (403, "scope_missing")
    public = Desk("chat", kind="public", origins=["https://shop.example.com"])
    assert code_of(public(talk, "assign", agent="kim")) == (403, "scope_missing")
    assert client.post(f"/api/conversations/{talk.pk}/assign/").status_code == 401
    client.force_login(User.objects.get(username="ben"))
    assert client.post(f"/api/conversations/{talk.pk}/assign/", content_type="application/json").status_code == 403
    desk = Desk()
    for name in ("ben", "nobody", "x\x00", "\ud800"):
        assert code_of(desk(talk, "assign", agent=name)) == (400, "invalid_agent")
    assert code_of(desk(talk, "assign")) == (400, "invalid_input")
    assert Conversation.objects.get().state == "bot"


def test_an_agent_signed_in_needs_no_key(talk: Conversation, kim: User, client: Client) -> None:
    client.force_login(kim)
    done = client.post(f"/api/conversations/{talk.pk}/assign/", "{}", content_type="application/json")
    assert (done.status_code, done.json()["agent"]) == (200, "Kim Berg")


def test_a_bound_key_finds_no_other_conversation(talk: Conversation, kim: User) -> None:
    for bounds in ({"users": ["ben"]}, {"bot": "people"}):
        for action, body in (("assign", {}), ("reply", {"text": "Hi"}), ("close", {}), ("transfer", {"to": None})):
            refused = Desk(**bounds)(talk, action, agent="kim", **body)
            assert code_of(refused) == (404, "conversation_not_found"), (bounds, action)
    assert code_of(Desk()(2**63, "assign", agent="kim")) == (404, "conversation_not_found")
    assert Desk(users=["ana"], bot="default")(talk, "assign", agent="kim").status_code == 200


def test_a_reply_that_is_sent_again_is_one(talk: Conversation, kim: User) -> None:
    desk = Desk()
    desk(talk, "assign", agent="kim")
    first, second = (desk(talk, "reply", key="k-1", agent="kim", text="Once") for _ in range(2))
    assert second.headers["Idempotent-Replayed"] == "true"
    IdempotentRequest.objects.all().delete()  # as if the process had died before it kept its answer
    third = desk(talk, "reply", key="k-1", agent="kim", text="Once")
    assert first.json() == second.json() == third.json()
    assert Message.objects.filter(role="agent").count() == 1
    reused = desk(talk, "reply", key="k-1", agent="kim", text="Twice")
    assert code_of(reused) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("action", "body", "code"),
    [
        ("reply", {}, "invalid_input"),
        ("reply", {"text": " "}, "invalid_message"),
        ("reply", {"text": 7}, "invalid_input"),
        ("reply", {"text": "x" * 8001}, "invalid_message"),
        ("reply", {"text": "Hi", "client_id": "7"}, "invalid_input"),
        ("close", {"note": "x" * 5001}, "invalid_message"),
        ("close", {"note": "x\x00"}, "invalid_input"),
        ("transfer", {}, "invalid_input"),
        ("transfer", {"to": ""}, "invalid_agent"),
        ("transfer", {"to": "\ud800"}, "invalid_agent"),
        ("transfer", {"to": "ben"}, "invalid_agent"),
    ],
)
def test_what_is_wrong_is_said(talk: Conversation, kim: User, action: str, body: Any, code: str) -> None:
    User.objects.create_user("ben")
    desk = Desk()
    desk(talk, "assign", agent="kim")
    assert code_of(desk(talk, action, agent="kim", **body)) == (400, code)


def test_a_keys_limit_holds(talk: Conversation, kim: User) -> None:
    desk = Desk(per_minute=1)
    assert desk(talk, "assign", agent="kim").status_code == 200
    assert code_of(desk(talk, "close", agent="kim")) == (429, "rate_limited")
