"""A person takes a conversation over from the bot: states, events, lines for the customer, and two at once."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.utils import formats, timezone, translation

from chat.definitions import store
from chat.errors import AgentForbidden, ConversationConflict, ConversationHeld, ConversationNotFound, InvalidMessage
from chat.handover import actions
from chat.handover.contacts import keep_contact
from chat.handover.hours import next_opening
from chat.models import ClosedDay, Conversation, Customer, HandoverSettings, Message, SupportHours, Ticket, reasons
from common.errors import InvalidInput
from events.models import Event
from events.processing import process
from tests.factories import CustomerFactory, TicketFactory

pytestmark = pytest.mark.django_db


def agent_named(name: str, **more: Any) -> User:
    user = User.objects.create_user(name, **{"is_staff": True} | more)
    user.user_permissions.add(Permission.objects.get(codename="answer_conversation"))
    return user


@pytest.fixture
def kim(db: None) -> User:
    return agent_named("kim", first_name="Kim", last_name="Berg")


@pytest.fixture
def lee(db: None) -> User:
    return agent_named("lee")


@pytest.fixture
def talk(db: None) -> Conversation:
    """A conversation whose only question the bot has answered."""
    conversation = Conversation.objects.create(user_id="ana", title="Where is my invoice?")
    for role, text in (("user", "Where is my invoice?"), ("assistant", "On the billing page.")):
        Message.objects.create(conversation=conversation, user_id="ana", role=role, text=text)
    return conversation


def asked(conversation: Conversation, text: str = "Are you there?") -> Message:
    return Message.objects.create(conversation=conversation, user_id=conversation.user_id, role="user", text=text)


def notices(conversation: Conversation) -> list[str]:
    return [
        flag for flags in conversation.messages.filter(role="notice").values_list("flags", flat=True) for flag in flags
    ]


def events() -> list[tuple[str, dict[str, Any]]]:
    return [(row.event_type, row.payload) for row in Event.objects.order_by("id")]


def test_from_the_bot_to_a_person_and_back_each_step_has_its_event_and_its_line(talk: Conversation, kim: User) -> None:
    actions.escalate(talk.pk, reasons.CUSTOMER_ASKED)
    actions.assign(talk.pk, kim)
    sent = actions.send_as_agent(talk.pk, kim, "It is **here**.")
    actions.hand_back(talk.pk, kim)
    closed = actions.close(talk.pk, kim)
    assert (closed.state, closed.agent) == ("closed", None)
    assert (sent.role, sent.author, sent.user_id) == ("agent", kim, "ana")
    of = {"conversation_id": talk.pk, "bot": "default", "contact": None}
    asked = {"reason": "customer_asked", "message_id": None}
    assert events() == [
        ("conversation_escalated", of | asked | {"ticket": 1, "previous_agent": None, "by": None}),
        ("conversation_assigned", of | {"agent": "kim", "previous_agent": None, "by": "kim"}),
        ("conversation_handed_back", of | {"reason": "by_agent", "ticket": 1}),
        ("conversation_closed", of | {"agent": "kim", "reason": "by_agent", "note": "", "ticket": None}),
    ]
    assert set(Event.objects.values_list("entity_id", flat=True)) == {"ana"}
    assert notices(talk) == ["escalated", "assigned", "handed_back", "closed"]
    assert "Kim Berg has joined" in talk.messages.get(flags=["assigned"]).text


def test_what_is_done_twice_happens_once(talk: Conversation, kim: User) -> None:
    for _ in range(2):
        actions.escalate(talk.pk, "x")
    for _ in range(2):
        actions.assign(talk.pk, kim)
    actions.escalate(talk.pk, "x")
    for _ in range(2):
        actions.hand_back(talk.pk, kim)
    for _ in range(2):
        actions.close(talk.pk, kim, note="Solved.")
    assert len(events()) == len(notices(talk)) == 4
    assert Ticket.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_support_history_has_the_ticket_of_a_closed_conversation(talk: Conversation, kim: User) -> None:
    Customer.objects.create(user_id="ana", tier="premium")
    assert async_to_sync(store.get_feature)("support_history", "ana") == []
    actions.close(talk.pk, kim, note="The invoice was sent.")
    event = Event.objects.get(event_type="conversation_closed")
    for _ in range(2):  # a worker may die before it has reported it
        process(event.pk)
        Event.objects.filter(pk=event.pk).update(state=Event.State.RECEIVED)
    assert async_to_sync(store.get_feature)("support_history", "ana") == ["Ticket #1: Where is my invoice? (closed)"]


def test_a_conversation_that_does_not_exist_and_one_that_is_closed(talk: Conversation, kim: User) -> None:
    with pytest.raises(ConversationNotFound):
        actions.escalate(talk.pk + 1, "x")
    actions.close(talk.pk, kim)
    for refused in (
        lambda: actions.escalate(talk.pk, "x"),
        lambda: actions.assign(talk.pk, kim),
        lambda: actions.hand_back(talk.pk, kim),
        lambda: actions.send_as_agent(talk.pk, kim, "Hello"),
    ):
        with pytest.raises(ConversationConflict) as caught:
            refused()
        assert caught.value.code == "conversation_state"
    assert len(events()) == 1


def test_the_second_agent_is_told_who_has_it(talk: Conversation, kim: User, lee: User) -> None:
    actions.assign(talk.pk, kim)
    for refused in (
        lambda: actions.assign(talk.pk, lee),
        lambda: actions.send_as_agent(talk.pk, lee, "Hello"),
        lambda: actions.hand_back(talk.pk, lee),
        lambda: actions.close(talk.pk, lee),
    ):
        with pytest.raises(ConversationHeld, match="Kim Berg"):
            refused()
    talk.refresh_from_db()
    assert talk.agent == kim
    kim.delete()  # and then nobody has it
    assert actions.assign(talk.pk, lee).agent == lee


@pytest.mark.parametrize("text", ["", " \u200b", "x\x00", "x" * 8001])
def test_an_agents_message_is_checked(talk: Conversation, kim: User, text: str) -> None:
    actions.assign(talk.pk, kim)
    with pytest.raises(InvalidInput):
        actions.send_as_agent(talk.pk, kim, text)


def test_who_does_not_hold_it_sends_nothing(talk: Conversation, kim: User) -> None:
    with pytest.raises(ConversationConflict, match="Take this conversation over"):
        actions.send_as_agent(talk.pk, kim, "Hello")


def test_an_agents_message_sent_twice_is_one(talk: Conversation, kim: User) -> None:
    from uuid import uuid4

    actions.assign(talk.pk, kim)
    name = uuid4()
    first, second = (actions.send_as_agent(talk.pk, kim, "Hello", client_id=name) for _ in range(2))
    assert first == second


def deactivate(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def take_permission(user: User) -> None:
    User.objects.get(pk=user.pk).user_permissions.clear()


@pytest.mark.parametrize("withdraw", [deactivate, take_permission])
def test_a_permission_withdrawn_while_holding_refuses_and_lets_it_wait(
    talk: Conversation, kim: User, lee: User, withdraw: Callable[[User], None]
) -> None:
    actions.assign(talk.pk, kim)
    assert kim.has_perm("chat.answer_conversation")  # which the object keeps
    withdraw(kim)
    with pytest.raises(AgentForbidden):
        actions.send_as_agent(talk.pk, kim, "Hello")
    talk.refresh_from_db()
    assert (talk.state, talk.agent) == ("waiting", None)
    name, payload = events()[-1]
    assert (name, payload["reason"], payload["previous_agent"]) == ("conversation_escalated", "agent_gone", "kim")
    assert notices(talk)[-1] == "person_left"
    assert not talk.messages.filter(role="agent").exists()
    with pytest.raises(AgentForbidden):
        actions.assign(talk.pk, kim)
    assert actions.assign(talk.pk, lee).state == "person"


def test_the_group_support_agent_may_answer(talk: Conversation) -> None:
    user = User.objects.create_user("new", is_staff=True)
    with pytest.raises(AgentForbidden):
        actions.assign(talk.pk, user)
    user.groups.add(Group.objects.get(name="Support agent"))
    assert actions.assign(talk.pk, user).agent == user


def test_closing_with_a_note_keeps_a_ticket_of_the_customers(talk: Conversation, kim: User) -> None:
    TicketFactory.create(customer=CustomerFactory.create(user_id="ben"), number=140)
    actions.close(talk.pk, kim, note="Sent the invoice again.")
    ticket = Ticket.objects.get(customer__user_id="ana")
    assert (ticket.number, ticket.subject, ticket.status) == (141, "Where is my invoice?", "closed")
    assert (ticket.note, ticket.conversation) == ("Sent the invoice again.", talk)
    assert Customer.objects.get(user_id="ana").tier == "free"
    assert events()[-1][1]["ticket"] == 141


def test_whom_the_person_leaves_unanswered_the_bot_takes_back(talk: Conversation, kim: User) -> None:
    HandoverSettings.objects.update_or_create(pk=1, defaults={"unanswered_after_min": 10})
    actions.assign(talk.pk, kim)
    actions.return_from_person(talk.pk)
    talk.refresh_from_db()
    assert talk.state == "person"  # the customer has not said anything
    long_ago = timezone.now() - timedelta(hours=1)
    Conversation.objects.filter(pk=talk.pk).update(unanswered_since=timezone.now() - timedelta(minutes=11))
    actions.return_from_person(talk.pk)
    assert Conversation.objects.get(pk=talk.pk).state == "person"  # who has just got it has as much time
    late = {"unanswered_since": timezone.now() - timedelta(minutes=9), "state_changed_at": long_ago}
    Conversation.objects.filter(pk=talk.pk).update(**late)
    actions.return_from_person(talk.pk)
    assert Conversation.objects.get(pk=talk.pk).state == "person"
    Conversation.objects.filter(pk=talk.pk).update(unanswered_since=timezone.now() - timedelta(minutes=11))
    for _ in range(2):
        actions.return_from_person(talk.pk)
    assert Conversation.objects.get(pk=talk.pk).state == "bot"
    name, payload = events()[-1]
    assert (name, payload["reason"]) == ("conversation_handed_back", "unanswered")
    assert len(events()) == 2
    assert "Nobody could answer" in talk.messages.last().text


def test_what_was_unanswered_at_the_takeover_is_the_persons_to_answer(talk: Conversation, kim: User) -> None:
    assert actions.assign(talk.pk, kim).unanswered_since is None
    actions.hand_back(talk.pk, kim)
    question = asked(talk)
    assert actions.assign(talk.pk, kim).unanswered_since == question.created_at
    actions.send_as_agent(talk.pk, kim, "Here I am.")
    talk.refresh_from_db()
    assert talk.unanswered_since is None


def test_an_address_is_kept_and_thanked_for_once(talk: Conversation) -> None:
    for _ in range(2):
        keep_contact(talk.pk, " ana@example.com ")
    keep_contact(talk.pk, "ana@example.org")
    talk.refresh_from_db()
    assert talk.contact == "ana@example.org"
    assert notices(talk) == ["contact_kept", "contact_kept"]
    assert [(name, payload["contact"], payload["previous"]) for name, payload in events()] == [
        ("contact_left", "ana@example.com", None),
        ("contact_left", "ana@example.org", "ana@example.com"),
    ]
    for wrong in ("", "ana", "ana@", "a b@example.com", "ana@example.com\nBcc: b@example.com"):
        with pytest.raises(InvalidMessage):
            keep_contact(talk.pk, wrong)


def test_out_of_hours_the_customer_is_told_when_and_asked_for_an_address(talk: Conversation) -> None:
    row, _ = HandoverSettings.objects.update_or_create(pk=1, defaults={"time_zone": "Europe/Berlin"})
    far = (timezone.now() + timedelta(days=3)).astimezone(row.zone)
    SupportHours.objects.create(settings=row, weekday=far.weekday(), opens=time(9), closes=time(17))
    actions.escalate(talk.pk, "x")
    text = talk.messages.last().text
    assert f"{far:%A}, 09:00" in text
    assert "e-mail address" in text
    keep_contact(talk.pk, "ana@example.com")
    assert "e-mail address" not in actions.ask_again(talk.pk).text


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_weekday_that_may_be_another_one_is_told_with_its_date(talk: Conversation, language: str) -> None:
    row, _ = HandoverSettings.objects.update_or_create(pk=1, defaults={"time_zone": "Europe/Berlin"})
    today = timezone.now().astimezone(row.zone)
    SupportHours.objects.create(settings=row, weekday=today.weekday(), opens=time(9), closes=time(17))
    for days in (0, 7):
        ClosedDay.objects.create(settings=row, day=today.date() + timedelta(days=days))
    Conversation.objects.filter(pk=talk.pk).update(language=language)
    actions.escalate(talk.pk, "x")
    far = today + timedelta(days=14)
    with translation.override(language):
        expected = formats.date_format(far, "l, ") + formats.date_format(far, "DATE_FORMAT")
    assert f"{expected}, 09:00" in talk.messages.last().text
    assert f"{far.year}" in expected


BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = [SimpleNamespace(weekday=day, opens=time(9), closes=time(17)) for day in range(5)]
NIGHT = [
    SimpleNamespace(weekday=4, opens=time(22), closes=time(0)),
    SimpleNamespace(weekday=5, opens=time(0), closes=time(6)),
]


@pytest.mark.parametrize(
    ("spans", "now", "expected"),
    [
        ([], datetime(2026, 11, 28, 3, tzinfo=UTC), None),
        (OFFICE, datetime(2026, 11, 26, 8, tzinfo=UTC), None),  # 09:00 in Berlin
        (OFFICE, datetime(2026, 11, 26, 7, 59, tzinfo=UTC), datetime(2026, 11, 26, 9, tzinfo=BERLIN)),
        (OFFICE, datetime(2026, 11, 26, 16, tzinfo=UTC), datetime(2026, 11, 27, 9, tzinfo=BERLIN)),  # closes at 17:00
        (OFFICE, datetime(2026, 11, 27, 20, tzinfo=UTC), datetime(2026, 11, 30, 9, tzinfo=BERLIN)),  # Friday evening
        (OFFICE[:1], datetime(2026, 11, 30, 17, tzinfo=UTC), datetime(2026, 12, 7, 9, tzinfo=BERLIN)),  # in a week
        (NIGHT, datetime(2026, 11, 27, 22, 30, tzinfo=UTC), None),
        (NIGHT, datetime(2026, 11, 27, 23, 30, tzinfo=UTC), None),  # 00:30 on Saturday
        (NIGHT, datetime(2026, 11, 28, 5, tzinfo=UTC), datetime(2026, 12, 4, 22, tzinfo=BERLIN)),
        # The night when the clocks change: 9 o'clock is an hour nearer, and still 9 o'clock.
        (OFFICE, datetime(2027, 3, 27, 12, tzinfo=UTC), datetime(2027, 3, 29, 9, tzinfo=BERLIN)),
    ],
)
def test_when_somebody_is_there_next(spans: Any, now: datetime, expected: datetime | None) -> None:
    assert next_opening(spans, BERLIN, now) == expected


def test_the_line_is_in_the_conversations_language(talk: Conversation) -> None:
    Conversation.objects.filter(pk=talk.pk).update(language="de")
    row, _ = HandoverSettings.objects.update_or_create(pk=1)
    far = timezone.now() + timedelta(days=3)
    SupportHours.objects.create(settings=row, weekday=far.weekday(), opens=time(9), closes=time(17))
    actions.escalate(talk.pk, "x")
    german = ["Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"]
    assert german[far.weekday()] in talk.messages.last().text


@pytest.mark.django_db(transaction=True)
def test_of_two_agents_at_once_one_gets_it(transactional_db: None) -> None:
    conversations = [Conversation.objects.create(user_id="ana") for _ in range(8)]
    agents = [agent_named(name) for name in ("kim", "lee", "max")]
    barrier = threading.Barrier(len(agents))
    got: list[tuple[int, str]] = []
    refused: list[ConversationHeld] = []

    def take(agent: User) -> None:
        try:
            for conversation in conversations:
                barrier.wait(60)
                try:
                    got.append((conversation.pk, actions.assign(conversation.pk, agent).agent.username))
                except ConversationHeld as error:
                    refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=take, args=[agent]) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(pk for pk, _ in got) == [conversation.pk for conversation in conversations]
    assert len(refused) == 2 * len(conversations)
    assert dict(got) == {row.pk: row.agent.username for row in Conversation.objects.select_related("agent")}
    assert Event.objects.filter(event_type="conversation_assigned").count() == len(conversations)


@pytest.mark.django_db(transaction=True)
def test_two_tickets_at_once_have_two_numbers(transactional_db: None) -> None:
    kim = agent_named("kim")
    conversations = [Conversation.objects.create(user_id=f"user {number}") for number in range(6)]
    barrier = threading.Barrier(len(conversations))

    def shut(conversation: Conversation) -> None:
        try:
            barrier.wait(60)
            actions.close(conversation.pk, kim, note="Done.")
        finally:
            connection.close()

    threads = [threading.Thread(target=shut, args=[conversation]) for conversation in conversations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(Ticket.objects.values_list("number", flat=True)) == list(range(1, 7))
