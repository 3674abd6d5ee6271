"""Conversations in the admin: found by who answers, whose they are and where one writes to; and asked for a person."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chat.handover import actions
from chat.models import Bot, Conversation, HandoverSettings, Message
from tests.chat.test_handover import agent_named, events
from tests.factories import CustomerFactory

pytestmark = pytest.mark.django_db
LIST = "/admin/chat/conversation/"


@pytest.fixture
def agent(client: Client) -> User:
    user = User.objects.create_user("mia", first_name="Mia", is_staff=True)
    user.groups.add(Group.objects.get(name="Support agent"))
    client.force_login(user)
    return user


@pytest.fixture
def known(db: None) -> dict[str, Conversation]:
    """A conversation of each kind, by the ids of their users."""
    CustomerFactory(user_id="held", name="Jonas Petrov")
    Bot.objects.create(slug="people", name="People Desk")
    rows = {name: Conversation.objects.create(user_id=name) for name in ("bots", "waits", "held", "people", "closed")}
    Conversation.objects.filter(user_id="people").update(bot="people", contact="ana@example.com")
    kim = agent_named("kim", first_name="Kim")
    actions.escalate(rows["waits"].pk, "customer_asked")
    actions.assign(rows["held"].pk, kim)
    actions.close(rows["closed"].pk, kim)
    return rows


def found(client: Client, **query: Any) -> set[str]:
    return {row.user_id for row in client.get(LIST, query).context["cl"].result_list}


def test_they_are_filtered_by_who_answers_bot_and_address(client: Client, agent: User, known: Any) -> None:
    kim = User.objects.get(username="kim")
    assert found(client, state="bot") == {"bots", "people"}
    assert found(client, state="waiting") == {"waits"}
    assert found(client, state="person") == {"held"} == found(client, agent=kim.pk)
    assert found(client, bot="people") == {"people"} == found(client, contact="left")
    assert len(found(client, state="x")) == len(found(client, agent="x")) == len(known)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wai", {"waits"}), ("ana@", {"people"}), ("Jonas", {"held"}), ("jonas p", {"held"}), ("nobody", set()),
        ("9" * 30, set()), ("example.com", set()),
    ],
)  # fmt: skip
def test_they_are_searched(client: Client, agent: User, known: Any, text: str, expected: set[str]) -> None:
    assert found(client, q=text) == expected
    assert found(client, q=f"#{known['held'].pk}") == {"held"} == found(client, q=known["held"].pk)


def test_the_list_shows_who_answers_in_few_queries(client: Client, agent: User, known: Any) -> None:
    for number in range(30):
        row = Conversation.objects.create(user_id=f"user_{number}", contact="ben@example.com")
        actions.assign(row.pk, agent_named(f"agent_{number}", first_name=f"Agent {number}"))
    with CaptureQueriesContext(connection) as queries:
        html = client.get(LIST).content.decode()
    assert len(queries) <= 12
    for part in ("Agent 29", "waits", "closed", "ben@example.com", "people"):
        assert part in html


def test_an_agent_asks_for_a_person_on_the_conversations_page(client: Client, agent: User, known: Any) -> None:
    row = known["bots"]
    page, url = f"{LIST}{row.pk}/change/", reverse("admin:chat_conversation_ask_for_person", args=[row.pk])
    assert "Ask for a person" in client.get(page).content.decode()
    asked = client.post(url, follow=True).content.decode()
    assert "asked for because: an agent asked" in asked
    assert "It waits in the inbox" in asked and "Ask for a person" not in asked and "ticket #" in asked
    assert [(name, payload["by"]) for name, payload in events() if payload["conversation_id"] == row.pk] == [
        ("conversation_escalated", "mia")
    ]
    refused = client.post(reverse("admin:chat_conversation_ask_for_person", args=[known["closed"].pk]), follow=True)
    assert "The conversation is closed and stays so" in refused.content.decode()
    assert client.post(reverse("admin:chat_conversation_ask_for_person", args=[2**63])).status_code == 404
    assert client.get(url).status_code == 405


def test_who_may_not_answer_may_not_ask(client: Client, known: Any) -> None:
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_conversation"))
    client.force_login(reader)
    row = known["bots"]
    assert "Ask for a person" not in client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert client.post(reverse("admin:chat_conversation_ask_for_person", args=[row.pk])).status_code == 403


@pytest.mark.parametrize(("count", "is_cut"), [(200, False), (201, True)])
@pytest.mark.parametrize("page", ["/admin/chat/conversation/{}/change/", "/admin/inbox/{}/"])
def test_a_page_says_that_messages_are_left_out_only_where_some_are(
    client: Client, agent: User, page: str, count: int, is_cut: bool
) -> None:
    conversation = Conversation.objects.create(user_id="ana")
    Message.objects.bulk_create(
        Message(conversation=conversation, user_id="ana", role="user", text=f"message {number}.")
        for number in range(count)
    )
    shown = client.get(page.format(conversation.pk)).content.decode()
    assert ("Only the newest" in shown, "message 0." in shown) == (is_cut, not is_cut)
    assert "message 1." in shown


def test_the_address_is_a_link_to_write_to(client: Client, agent: User, known: Any) -> None:
    Conversation.objects.filter(user_id="people").update(title='"><b>?&')
    html = client.get(f"{LIST}{known['people'].pk}/change/").content.decode()
    assert 'href="mailto:ana@example.com?subject=%22%3E%3Cb%3E%3F%26"' in html


def test_the_handover_form_keeps_texts_hours_and_closed_days(admin_client: Client) -> None:
    url = "/admin/chat/handoversettings/1/change/"
    assert 'name="text_de"' in admin_client.get(url).content.decode()
    body = {
        "is_enabled": "", "on_thumbs_down": "on", "text_en": "Call 0800 1.", "text_de": "Rufen Sie an.",
        "wait_told_after_min": "5", "unanswered_after_min": "15", "close_after_days": "3",
        "time_zone": "Europe/Berlin", "hours-TOTAL_FORMS": "1", "hours-INITIAL_FORMS": "0", "hours-0-weekday": "0",
        "hours-0-opens": "09:00", "hours-0-closes": "17:00", "closed_days-TOTAL_FORMS": "1",
        "closed_days-INITIAL_FORMS": "0", "closed_days-0-day": "2026-12-25", "closed_days-0-name": "Christmas",
    }  # fmt: skip
    assert admin_client.post(url, body).status_code == 302
    row = HandoverSettings.load()
    assert (row.is_enabled, row.on_thumbs_down, row.on_not_known_twice, row.close_after_days) == (False, True, False, 3)
    assert row.texts == {"en": "Call 0800 1.", "de": "Rufen Sie an."}
    assert (row.hours.count(), row.closed_days.get().name) == (1, "Christmas")
    assert (row.reach_text("de-at"), row.reach_text("fr")) == ("Rufen Sie an.", "Call 0800 1.")


def test_where_nobody_may_answer_the_form_says_so(client: Client) -> None:
    operator = User.objects.create_user("op", is_staff=True)
    operator.groups.add(Group.objects.get(name="Operator"))
    client.force_login(operator)
    url = "/admin/chat/handoversettings/1/change/"
    assert "no active account may answer" in client.get(url).content.decode()
    agent_named("kim")
    assert "no active account may answer" not in client.get(url).content.decode()
