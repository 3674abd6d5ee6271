"""Conversations change hands among people: passed on, put back into the queue, released by a lead."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.utils import timezone

from chat.conversations.management import delete_conversation
from chat.errors import AgentForbidden, ConversationConflict, ConversationHeld, InvalidAgent
from chat.handover import actions
from chat.models import Conversation, HandoverSettings, Message, Ticket
from events.models import Event
from tests.chat.test_handover import agent_named, asked, events, notices

pytestmark = pytest.mark.django_db


@pytest.fixture
def kim(db: None) -> User:
    return agent_named("kim", first_name="Kim", last_name="Berg")


@pytest.fixture
def lee(db: None) -> User:
    return agent_named("lee", first_name="Lee")


@pytest.fixture
def lead(db: None) -> User:
    user = User.objects.create_user("lead", is_staff=True)
    user.groups.add(Group.objects.get(name="Support lead"))
    return user


@pytest.fixture
def held(kim: User) -> Conversation:
    """A conversation that Kim holds, with a question that nobody has answered."""
    conversation = Conversation.objects.create(user_id="ana", title="Where is my invoice?", contact="ana@example.com")
    actions.assign(conversation.pk, kim)
    since = asked(conversation).created_at
    Conversation.objects.filter(pk=conversation.pk).update(unanswered_since=since)
    return conversation


def fresh(conversation: Conversation) -> Conversation:
    return Conversation.objects.select_related("agent").get(pk=conversation.pk)


def test_whoever_holds_it_passes_it_on_and_answers_no_more(held: Conversation, kim: User, lee: User) -> None:
    since = fresh(held).unanswered_since
    for _ in range(2):
        assert actions.transfer(held.pk, kim, lee).agent == lee
    assert fresh(held).unanswered_since == since  # the customer waits still
    with pytest.raises(ConversationHeld, match="Lee"):
        actions.send_as_agent(held.pk, kim, "Me again")
    actions.send_as_agent(held.pk, lee, "I am Lee.")
    assert events()[-1] == (
        "conversation_assigned",
        {
            "conversation_id": held.pk, "bot": "default", "contact": "ana@example.com", "agent": "lee",
            "previous_agent": "kim", "by": "kim",
        },
    )  # fmt: skip
    assert notices(held) == ["assigned", "assigned"]
    told = held.messages.filter(role=Message.Role.NOTICE).last()
    assert told is not None and told.text == "Kim Berg has passed this conversation on to Lee."


def test_back_in_the_queue_it_waits_with_its_ticket_until_somebody_takes_it(
    held: Conversation, kim: User, lee: User
) -> None:
    for _ in range(2):
        assert actions.transfer(held.pk, kim, None).state == "waiting"
    name, payload = events()[-1]
    assert (name, payload["reason"], payload["previous_agent"]) == ("conversation_escalated", "passed_back", "kim")
    assert notices(held) == ["assigned", "person_left"]
    assert Ticket.objects.get().status == "open"
    assert actions.assign(held.pk, lee).agent == lee


def test_a_colleague_may_not_and_a_lead_may_end_what_another_holds(
    held: Conversation, kim: User, lee: User, lead: User
) -> None:
    for refused in (
        lambda: actions.transfer(held.pk, lee, lee),
        lambda: actions.transfer(held.pk, lee, None),
        lambda: actions.hand_back(held.pk, lee),
        lambda: actions.close(held.pk, lee),
    ):
        with pytest.raises(ConversationHeld, match="Kim Berg"):
            refused()
    with pytest.raises(ConversationHeld):  # a lead takes nothing over by accident
        actions.assign(held.pk, lead)
    assert fresh(held).agent == kim
    assert actions.transfer(held.pk, lead, lee).agent == lee
    assert events()[-1][1]["by"] == "lead"
    assert actions.transfer(held.pk, lead, lead).agent == lead
    actions.transfer(held.pk, lead, kim)
    assert actions.hand_back(held.pk, lead).state == "bot"
    actions.assign(held.pk, kim)
    assert actions.close(held.pk, lead, "Kim has left.").state == "closed"


def test_it_is_passed_on_to_nobody_who_may_not_answer(held: Conversation, kim: User, lee: User) -> None:
    lee.user_permissions.clear()
    with pytest.raises(InvalidAgent, match="lee"):
        actions.transfer(held.pk, kim, lee)
    assert fresh(held).agent == kim
    kim.user_permissions.clear()
    with pytest.raises(AgentForbidden):
        actions.transfer(held.pk, kim, None)
    assert fresh(held).state == "waiting"


def test_an_agent_asks_for_a_person_in_a_conversation_of_the_bots(kim: User, lee: User) -> None:
    HandoverSettings.objects.update_or_create(pk=1, defaults={"is_enabled": False})  # which binds customers
    conversation = Conversation.objects.create(user_id="ana")
    for _ in range(2):
        assert actions.transfer(conversation.pk, kim, None).state == "waiting"
    assert [(name, payload["reason"], payload["by"]) for name, payload in events()] == [
        ("conversation_escalated", "by_agent", "kim")
    ]
    assert notices(conversation) == ["escalated"]
    assert actions.transfer(conversation.pk, kim, lee).agent == lee  # from the queue to a colleague
    actions.close(conversation.pk, lee)
    for to in (None, kim):
        with pytest.raises(ConversationConflict):
            actions.transfer(conversation.pk, lee, to)


def test_a_ticket_is_opened_with_the_wish_and_closed_with_how_it_ended(kim: User) -> None:
    conversation = Conversation.objects.create(user_id="ana", title="Where is my invoice?")
    actions.escalate(conversation.pk, "customer_asked")
    ticket = Ticket.objects.get()
    assert (ticket.subject, ticket.status, ticket.note) == ("Where is my invoice?", "open", "")
    actions.assign(conversation.pk, kim)
    actions.close(conversation.pk, kim)
    ticket.refresh_from_db()
    assert (ticket.status, ticket.note) == ("closed", "Closed by kim.")
    assert events()[-1][1]["ticket"] == ticket.number == events()[0][1]["ticket"]


def test_what_nobody_answered_in_time_keeps_its_ticket_open_and_gets_no_second(kim: User) -> None:
    conversation = Conversation.objects.create(user_id="ana")
    actions.escalate(conversation.pk, "customer_asked")
    actions.assign(conversation.pk, kim)
    long_ago = timezone.now() - timedelta(hours=1)
    Conversation.objects.filter(pk=conversation.pk).update(unanswered_since=long_ago, state_changed_at=long_ago)
    actions.return_from_person(conversation.pk)
    assert fresh(conversation).state == "bot"
    assert Ticket.objects.get().status == "open"
    actions.escalate(conversation.pk, "customer_asked")
    assert Ticket.objects.count() == 1


def test_a_ticket_goes_with_its_conversation() -> None:
    conversation = Conversation.objects.create(user_id="ana", title="What only Ana knows")
    actions.escalate(conversation.pk, "customer_asked")
    delete_conversation(conversation)
    assert not Ticket.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_passed_on_and_taken_at_once_one_person_holds_it(transactional_db: None) -> None:
    kim, lee, lead = agent_named("kim"), agent_named("lee"), agent_named("lead")
    lead.user_permissions.add(Permission.objects.get(codename="reassign_conversation"))
    conversations = [Conversation.objects.create(user_id="ana") for _ in range(6)]
    for conversation in conversations:
        actions.assign(conversation.pk, kim)
    barrier = threading.Barrier(3)
    sent: list[int] = []
    refused: list[Exception] = []

    def work(who: User) -> None:
        for conversation in conversations:
            barrier.wait(30)
            try:
                if who == kim:
                    sent.append(actions.send_as_agent(conversation.pk, kim, "Hello").pk)
                else:
                    actions.transfer(conversation.pk, who if who == lead else kim, who)
            except (ConversationConflict, ConversationHeld) as error:
                refused.append(error)

    def run(who: User) -> None:
        try:
            work(who)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[who]) for who in (kim, lee, lead)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for conversation in conversations:
        assigned = Event.objects.filter(event_type="conversation_assigned", payload__conversation_id=conversation.pk)
        last = assigned.order_by("-pk").values_list("payload", flat=True)[0]
        held = fresh(conversation)
        assert held.agent is not None and last["agent"] == held.agent.username
        first_gone = assigned.exclude(payload__agent="kim").order_by("pk")[0]
        # Whatever Kim sent in it came before they had passed it on.
        assert not conversation.messages.filter(pk__in=sent, created_at__gt=first_gone.received_at).exists()
