"""The agents' inbox: who sees it, what it shows, and what an agent does in it."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import Group, User
from django.db import connections
from django.test import Client

from chat.engine.unanswered import take_back
from chat.errors import AgentForbidden
from chat.handover import actions
from chat.handover.actions import assign, escalate
from chat.handover.contacts import keep_contact
from chat.inbox.rows import inbox_of
from chat.live.broadcast import broadcast
from chat.live.groups import INBOX, conversation_group
from chat.models import Bot, Conversation, HandoverSettings, Message, Ticket
from chat.page.standing import FORBIDDEN
from fabra_project.asgi import websocket
from retrieval.indexing.documents import index_document
from tests.factories import CustomerFactory, FeatureValueFactory, TicketFactory
from tests.sockets import Socket

pytestmark = pytest.mark.django_db


def conversation_of(user_id: str, *questions: str) -> Conversation:
    conversation = Conversation.objects.create(user_id=user_id, title=questions[0] if questions else "")
    for question in questions:
        Message.objects.create(conversation=conversation, user_id=user_id, role=Message.Role.USER, text=question)
    return conversation


@pytest.fixture
def agent() -> User:
    user = User.objects.create_user("mia", first_name="Mia", is_staff=True)
    user.groups.add(Group.objects.get(name="Support agent"))
    return user


@pytest.fixture
def inbox(client: Client, agent: User) -> Client:
    client.force_login(agent)
    return client


def act(client: Client, conversation: Conversation, action: str, **fields: str) -> Any:
    return client.post(f"/admin/inbox/{conversation.pk}/{action}/", fields)


def test_those_who_wait_stand_first_the_longest_first_then_ones_own(agent: User) -> None:
    tom = User.objects.create_superuser("tom")
    first, second, mine, others, bot = (conversation_of(name, "Help?") for name in ("a", "b", "c", "d", "e"))
    for conversation in (first, second, mine, others):
        escalate(conversation.pk, "customer_asked")
    assign(mine.pk, agent)
    assign(others.pk, tom)
    found = inbox_of(agent)
    assert [row.conversation for row in found.waiting] == [first, second]
    assert [row.conversation for row in found.mine] == [mine]
    assert [(row.conversation, row.agent) for row in found.others] == [(others, "tom")]
    assert found.pending == 3  # two wait, and one's own has a question that nobody has answered
    assert bot.pk not in {row.conversation.pk for row in (*found.waiting, *found.mine, *found.others)}


def test_the_list_takes_as_many_queries_however_long_it_is(agent: User, django_assert_num_queries: Any) -> None:
    CustomerFactory(user_id="user_1")
    for number in range(20):
        escalate(conversation_of(f"user_{number}", "Help?").pk, "customer_asked")
    with django_assert_num_queries(3):
        assert len(inbox_of(agent).waiting) == 20


def test_a_conversation_is_shown_with_what_is_known_of_its_customer(inbox: Client) -> None:
    customer = CustomerFactory(user_id="user_1", name="Jonas Petrov", tier="premium")
    TicketFactory(customer=customer, subject="Emails do not arrive")
    FeatureValueFactory(entity="User", entity_key="user_1", feature="support_history", value=["Ticket #1: Emails"])
    conversation = conversation_of("user_1", "Is <b>this</b> safe?")
    Message.objects.create(
        conversation=conversation, user_id="user_1", role=Message.Role.ASSISTANT, text="It is **bold** [1].",
        citations=[{"number": 1, "title": "Safety", "quote": "Quoted.", "is_cited": True, "url": "javascript:x()"}],
    )  # fmt: skip
    html = inbox.get(f"/admin/inbox/{conversation.pk}/").json()["html"]
    for part in ("Jonas Petrov", "premium", "Emails do not arrive", "Ticket #1: Emails", "<strong>bold</strong>"):
        assert part in html, part
    assert "Is &lt;b&gt;this&lt;/b&gt; safe?" in html
    assert "Quoted." in html and "javascript:" not in html


def test_an_agent_takes_over_answers_and_hands_back(inbox: Client, agent: User) -> None:
    conversation = conversation_of("user_1", "Help?")
    escalate(conversation.pk, "customer_asked")
    assert act(inbox, conversation, "take").status_code == 200
    given = str(uuid.uuid4())
    for _ in range(2):  # the second is the same answer, sent again after a lost connection
        assert act(inbox, conversation, "send", text="Here I am.", client_id=given).status_code == 200
    conversation.refresh_from_db()
    assert (conversation.state, conversation.agent) == (Conversation.State.PERSON, agent)
    assert list(conversation.messages.filter(role=Message.Role.AGENT).values_list("text", "author")) == [
        ("Here I am.", agent.pk)
    ]
    assert act(inbox, conversation, "hand-back").status_code == 200
    conversation.refresh_from_db()
    assert (conversation.state, conversation.agent) == (Conversation.State.BOT, None)


def test_an_agent_passes_on_and_puts_back_what_they_hold(inbox: Client, agent: User) -> None:
    conversation = conversation_of("user_1", "Help?")
    tom = User.objects.create_superuser("tom", first_name="Tom")
    html = inbox.get(f"/admin/inbox/colleagues/?conversation={conversation.pk}").json()["html"]
    assert "yourself" in html and "Tom" in html and "holds none" in html
    act(inbox, conversation, "take")
    html = inbox.get(f"/admin/inbox/colleagues/?conversation={conversation.pk}").json()["html"]
    assert "yourself" not in html
    for wrong in ("0", "x", "9" * 30, "\x00"):
        assert act(inbox, conversation, "transfer", to=wrong).status_code == 400, wrong
    assert act(inbox, conversation, "transfer", to=str(tom.pk)).status_code == 200
    conversation.refresh_from_db()
    assert conversation.agent == tom
    assert act(inbox, conversation, "transfer").status_code == 409  # it is Tom's
    actions.transfer(conversation.pk, tom, agent)
    assert act(inbox, conversation, "transfer").status_code == 200
    conversation.refresh_from_db()
    assert conversation.state == Conversation.State.WAITING


def test_who_may_end_a_conversation_sees_the_buttons_for_it(inbox: Client, agent: User) -> None:
    conversation = conversation_of("user_1", "Help?")
    assert "Ask for a person" in inbox.get(f"/admin/inbox/{conversation.pk}/").json()["html"]
    assign(conversation.pk, User.objects.create_superuser("tom"))
    html = inbox.get(f"/admin/inbox/{conversation.pk}/").json()["html"]
    assert "tom answers" in html and "Pass on" not in html and "Close" not in html
    agent.groups.add(Group.objects.get(name="Support lead"))
    html = inbox.get(f"/admin/inbox/{conversation.pk}/").json()["html"]
    assert "Pass on" in html and "Back to the queue" in html and "Close" in html


def test_what_is_new_is_told_by_conversation(inbox: Client, agent: User) -> None:
    waiting, others = conversation_of("user_1", "Help?"), conversation_of("user_2", "Help?")
    escalate(waiting.pk, "customer_asked")
    assign(others.pk, User.objects.create_superuser("tom"))
    first = inbox.get("/admin/inbox/list/").json()
    assert (first["pending"], first["mine"], list(first["newest"])) == (1, [], [str(waiting.pk)])
    message = Message.objects.create(conversation=waiting, user_id="user_1", role=Message.Role.USER, text="Hello?")
    second = inbox.get("/admin/inbox/list/").json()
    assert (second["pending"], second["newest"]) == (1, {str(waiting.pk): message.pk})


def test_the_list_tells_the_version_of_the_open_conversations_head(inbox: Client, agent: User) -> None:
    conversation = conversation_of("user_1", "Help?")
    steps = [
        lambda: escalate(conversation.pk, "customer_asked"),
        lambda: keep_contact(conversation.pk, "ana@example.com"),
        lambda: assign(conversation.pk, User.objects.create_superuser("tom")),
        lambda: actions.hand_back(conversation.pk, User.objects.get(username="tom")),
    ]
    versions = []
    for step in steps:
        step()
        versions.append(inbox.get(f"/admin/inbox/list/?conversation={conversation.pk}").json()["version"])
        head = inbox.get(f"/admin/inbox/{conversation.pk}/").json()["html"]
        assert f'data-version="{versions[-1]}"' in head
        if len(versions) == 1:
            assert "Asked for because: the customer asked" in head
    assert len(set(versions)) == len(steps)
    assert inbox.get("/admin/inbox/list/?conversation=999999").json()["version"] == ""


def test_the_passages_are_those_of_the_conversations_bot(inbox: Client, embedder: None) -> None:
    index_document("handbook", "travel", "Travel by train in first class.")
    index_document("knowledge_base", "refunds", "Refunds take ten days by train.")
    Bot.objects.create(slug="people", name="People", index="handbook")
    html = inbox.get("/admin/inbox/passages/?q=train&bot=people").json()["html"]
    assert "first class" in html and "ten days" not in html
    assert "ten days" in inbox.get("/admin/inbox/passages/?q=train&bot=default").json()["html"]


def test_a_note_at_the_end_becomes_a_closed_ticket(inbox: Client) -> None:
    conversation = conversation_of("user_1", "Help?")
    act(inbox, conversation, "take")
    assert act(inbox, conversation, "close", note="Refunded.").status_code == 200
    ticket = Ticket.objects.get(customer__user_id="user_1")
    assert (ticket.status, ticket.note) == (Ticket.Status.CLOSED, "Refunded.")
    conversation.refresh_from_db()
    assert conversation.state == Conversation.State.CLOSED


def test_new_messages_are_those_after_the_last_one_shown(inbox: Client) -> None:
    conversation = conversation_of("user_1", "One", "Two", "Three")
    ids = list(conversation.messages.values_list("pk", flat=True))
    found = inbox.get(f"/admin/inbox/{conversation.pk}/messages/?after={ids[0]}").json()
    assert "One" not in found["html"] and "Two" in found["html"] and "Three" in found["html"]
    assert found["last"] == ids[2]
    nothing = inbox.get(f"/admin/inbox/{conversation.pk}/messages/?after={ids[2]}").json()
    assert (nothing["html"].strip(), nothing["last"]) == ("", ids[2])


def test_what_another_agent_holds_is_refused_and_says_who_has_it(inbox: Client) -> None:
    conversation = conversation_of("user_1", "Help?")
    assign(conversation.pk, User.objects.create_superuser("tom", first_name="Tom"))
    for action in ("take", "send", "hand-back", "close"):
        refused = act(inbox, conversation, action, text="Me too.")
        assert refused.status_code == 409, action
        assert "Tom" in refused.json()["error"]["message"]
    conversation.refresh_from_db()
    assert conversation.agent is not None and conversation.agent.username == "tom"
    assert not conversation.messages.filter(role=Message.Role.AGENT).exists()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("999999/", 404),
        ("999999/messages/", 404),
        ("{pk}/messages/?after=x", 400),
        ("{pk}/messages/?after=" + "9" * 30, 400),
        ("passages/?q=", 400),
        ("?conversation=" + "9" * 30, 200),
        ("?conversation=x", 200),
        ("list/?conversation=x", 200),
    ],
)
def test_bad_input_is_answered_as_such(inbox: Client, path: str, status: int) -> None:
    conversation = conversation_of("user_1", "Help?")
    assert inbox.get("/admin/inbox/" + path.format(pk=conversation.pk)).status_code == status


def test_empty_and_wrong_answers_are_refused(inbox: Client) -> None:
    conversation = conversation_of("user_1", "Help?")
    assert act(inbox, conversation, "send", text="Early.").status_code == 409
    act(inbox, conversation, "take")
    assert act(inbox, conversation, "send", text=" \n").status_code == 400
    assert act(inbox, conversation, "send", text="x" * 100_000).status_code == 400
    assert act(inbox, conversation, "send", text="Hello", client_id="7").status_code == 400
    assert inbox.get(f"/admin/inbox/{conversation.pk}/take/").status_code == 405
    assert not conversation.messages.filter(role=Message.Role.AGENT).exists()


def test_only_those_who_may_answer_see_it(client: Client) -> None:
    conversation = conversation_of("user_1", "Help?")
    editor = User.objects.create_user("editor", is_staff=True)
    editor.groups.add(Group.objects.get(name="Editor"))
    client.force_login(editor)
    for path in ("", "list/", "passages/?q=x", f"{conversation.pk}/", f"{conversation.pk}/messages/"):
        assert client.get(f"/admin/inbox/{path}").status_code == 403, path
    assert act(client, conversation, "take").status_code == 403


def test_an_agent_whose_permission_is_withdrawn_is_refused_and_the_customer_waits(inbox: Client, agent: User) -> None:
    conversation = conversation_of("user_1", "Help?")
    act(inbox, conversation, "take")
    agent.groups.clear()
    assert act(inbox, conversation, "send", text="Still here.").status_code == 403
    assert not conversation.messages.filter(role=Message.Role.AGENT).exists()
    conversation.refresh_from_db()
    assert (conversation.state, conversation.agent) == (Conversation.State.WAITING, None)


def leave_the_group(agent: User) -> None:
    agent.groups.clear()


def lose_the_staff_status(agent: User) -> None:
    User.objects.filter(pk=agent.pk).update(is_staff=False)


def be_deactivated(agent: User) -> None:
    User.objects.filter(pk=agent.pk).update(is_active=False)


WITHDRAWALS = [leave_the_group, lose_the_staff_status, be_deactivated]


@pytest.mark.parametrize("withdraw", WITHDRAWALS)
def test_what_somebody_holds_who_may_not_open_the_inbox_any_more_waits_for_another(
    withdraw: Callable[[User], object], inbox: Client, agent: User
) -> None:
    HandoverSettings.objects.update_or_create(pk=1, defaults={"unanswered_after_min": 0})
    conversation = conversation_of("user_1", "Help?")
    act(inbox, conversation, "take")
    withdraw(agent)
    act(inbox, conversation, "send", text="Still here.")
    take_back()  # the admin sends to its sign-in page whoever is none of the staff
    conversation.refresh_from_db()
    assert (conversation.state, conversation.agent) == (Conversation.State.WAITING, None)
    assert not conversation.messages.filter(role=Message.Role.AGENT).exists()
    with pytest.raises(AgentForbidden):
        assign(conversation.pk, agent)


class TestSocket:
    @pytest.fixture(autouse=True)
    def as_served(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Channels must not take the test's transaction for a connection left by a request."""
        monkeypatch.setitem(connections["default"].settings_dict, "AUTOCOMMIT", False)
        monkeypatch.setattr(connections["default"], "close_at", None)

    def socket(self, client: Client) -> Socket:
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
        headers = [(b"host", b"testserver"), (b"cookie", cookies.encode()), (b"origin", b"http://testserver")]
        return Socket(websocket, "/ws/inbox", headers=headers)

    def test_it_tells_that_something_is_new_and_not_what(self, inbox: Client, agent: User) -> None:
        async def listen() -> list[dict[str, Any]]:
            socket = self.socket(inbox)
            assert await socket.connect()
            await socket.send({"type": "open", "conversation_id": 7})
            heard = []
            presence = json.loads((await socket.receive_output())["text"])
            assert presence == {"type": "presence", "conversation_id": 7, "is_here": False}
            for _ in range(1200):  # until the subscriptions are there
                await broadcast(conversation_group(7), {"type": "message", "conversation_id": 7, "message": "secret"})
                if not await socket.receive_nothing(timeout=0.05):
                    heard.append(json.loads((await socket.receive_output())["text"]))
                    break
            await broadcast(INBOX, {"type": "inbox", "conversation_id": 8, "state": "waiting", "agent": None})
            while heard[-1]["type"] != "inbox":
                heard.append(json.loads((await socket.receive_output())["text"]))
            await socket.disconnect()
            return heard

        heard = async_to_sync(listen)()
        assert heard[0] == {"type": "message", "conversation_id": 7}
        assert heard[-1] == {"type": "inbox", "conversation_id": 8}

    def test_it_is_closed_to_those_who_may_not_answer(self, client: Client) -> None:
        client.force_login(User.objects.create_user("ben", is_staff=True))

        async def listen() -> dict[str, Any]:
            socket = self.socket(client)
            assert await socket.connect()
            closed = await socket.receive_output()
            return dict(closed)

        assert async_to_sync(listen)()["code"] == FORBIDDEN

    @pytest.mark.parametrize("withdraw", WITHDRAWALS)
    def test_it_closes_when_the_right_is_withdrawn(
        self, withdraw: Callable[[User], object], inbox: Client, agent: User
    ) -> None:
        held = conversation_of("user_1", "Help?")
        assign(held.pk, agent)

        async def listen() -> dict[str, Any]:
            socket = self.socket(inbox)
            assert await socket.connect()
            await sync_to_async(withdraw)(agent)
            await socket.send({"type": "typing"})
            closed = await socket.receive_output()
            return dict(closed)

        assert async_to_sync(listen)()["code"] == FORBIDDEN
        held.refresh_from_db()
        assert held.state == Conversation.State.WAITING

    def test_without_redis_it_stays_open_and_the_page_asks(self, inbox: Client, redis_down: None) -> None:
        async def listen() -> bool:
            socket = self.socket(inbox)
            assert await socket.connect()
            await socket.send({"type": "open", "conversation_id": 7})
            told = [json.loads((await socket.receive_output())["text"]) for _ in range(2)]
            assert told[0] == {"type": "live", "is_live": False}  # so that the page asks
            assert (told[1]["type"], told[1]["is_here"]) == ("presence", None)
            is_silent = await socket.receive_nothing(timeout=0.5)
            await socket.disconnect()
            return is_silent

        assert async_to_sync(listen)()
