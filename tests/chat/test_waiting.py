"""Waiting for a person ends: by a line that says that nobody came, by the customer, by the clock, or by a switch."""

from datetime import date, datetime, time, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone, translation

from chat.errors import ConversationConflict, HandoverOff
from chat.feedback import give_feedback
from chat.handover import actions
from chat.handover.contacts import address_in, is_mistyped_address
from chat.handover.endings import end_waits
from chat.handover.hours import next_opening
from chat.models import ClosedDay, Conversation, HandoverSettings, Message, SupportHours, Ticket
from chat.retention import CONVERSATIONS
from common.retention import prune_kind
from events.models import Event
from events.processing import process
from tests.chat.test_handover import agent_named, events, notices

pytestmark = pytest.mark.django_db


@pytest.fixture
def kim(db: None) -> User:
    return agent_named("kim", first_name="Kim")


@pytest.fixture
def waiting(db: None) -> Conversation:
    conversation = Conversation.objects.create(user_id="ana", title="Where is my invoice?")
    return actions.escalate(conversation.pk, "customer_asked")


def configure(**columns: Any) -> HandoverSettings:
    return HandoverSettings.objects.update_or_create(pk=1, defaults=columns)[0]


def age(conversation: Conversation, **length: float) -> None:
    """Let the conversation be as it was so long ago."""
    since = timezone.now() - timedelta(**length)
    Conversation.objects.filter(pk=conversation.pk).update(state_changed_at=since, last_message_at=since)


def state_of(conversation: Conversation) -> str:
    return Conversation.objects.values_list("state", flat=True).get(pk=conversation.pk)


def last_line(conversation: Conversation) -> str:
    line = conversation.messages.filter(role=Message.Role.NOTICE).last()
    assert line is not None
    return line.text


def close_office(**columns: Any) -> None:
    """Let nobody be there now."""
    far = timezone.now() + timedelta(days=3)
    SupportHours.objects.create(settings=configure(**columns), weekday=far.weekday(), opens=time(9), closes=time(17))


class TestNobodyComes:
    def test_a_customer_who_waits_long_is_told_once_and_asked_for_an_address(self, waiting: Conversation) -> None:
        configure(wait_told_after_min=10)
        age(waiting, minutes=9)
        end_waits()
        assert notices(waiting) == ["escalated"]
        age(waiting, minutes=11)
        for _ in range(2):
            end_waits()
        assert notices(waiting) == ["escalated", "nobody_came"]
        assert "e-mail address" in last_line(waiting)
        assert state_of(waiting) == "waiting"

    def test_whose_address_is_known_is_not_asked_for_it(self, waiting: Conversation) -> None:
        Conversation.objects.update(contact="ana@example.com")
        age(waiting, hours=1)
        end_waits()
        assert "Nobody could join you yet" in last_line(waiting)
        assert "address" not in last_line(waiting)

    def test_who_waits_again_is_told_again(self, waiting: Conversation, kim: User) -> None:
        age(waiting, hours=1)
        end_waits()
        actions.assign(waiting.pk, kim)
        actions.transfer(waiting.pk, kim, None)
        age(waiting, hours=1)
        end_waits()
        assert notices(waiting).count("nobody_came") == 2

    def test_out_of_hours_it_was_said_already(self) -> None:
        close_office()
        conversation = Conversation.objects.create(user_id="ana")
        actions.escalate(conversation.pk, "customer_asked")
        age(conversation, hours=1)
        end_waits()
        assert notices(conversation) == ["escalated"]

    def test_when_the_office_closes_meanwhile_the_customer_learns_when_it_opens(self, waiting: Conversation) -> None:
        close_office()
        age(waiting, hours=1)
        end_waits()
        assert "Nobody is here just now" in last_line(waiting)

    def test_it_can_be_switched_off(self, waiting: Conversation) -> None:
        configure(wait_told_after_min=0)
        age(waiting, hours=5)
        end_waits()
        assert notices(waiting) == ["escalated"]


class TestNobodyGoesOn:
    @pytest.mark.parametrize("is_held", [False, True])
    def test_after_days_without_a_message_it_is_closed_and_erased_in_time(
        self, waiting: Conversation, kim: User, settings: Any, is_held: bool
    ) -> None:
        configure(close_after_days=7, wait_told_after_min=0, unanswered_after_min=0)
        if is_held:
            actions.assign(waiting.pk, kim)
        age(waiting, days=6.9)
        end_waits()
        assert state_of(waiting) == ("person" if is_held else "waiting")
        age(waiting, days=7.1)
        for _ in range(2):
            end_waits()
        assert state_of(waiting) == "closed"
        assert notices(waiting)[-1] == "closed"
        name, payload = events()[-1]
        assert (name, payload["reason"], payload["agent"]) == ("conversation_closed", "idle", None)
        assert (Ticket.objects.get().status, Ticket.objects.get().note) == (
            "closed", "Closed without a message for 7 days."
        )  # fmt: skip
        settings.FABRA_CONVERSATION_RETENTION = timedelta(days=7)
        prune_kind(CONVERSATIONS)
        assert not Conversation.objects.exists() and not Ticket.objects.exists()

    def test_whoever_has_just_got_it_keeps_it(self, waiting: Conversation, kim: User) -> None:
        age(waiting, days=30)
        actions.assign(waiting.pk, kim)
        end_waits()
        assert state_of(waiting) == "person"

    def test_never_if_so_set_and_never_the_bots(self, waiting: Conversation) -> None:
        configure(close_after_days=0)
        age(waiting, days=400)
        end_waits()
        assert state_of(waiting) == "waiting"
        configure(close_after_days=1)
        Conversation.objects.update(state="bot")
        end_waits()
        assert state_of(waiting) == "bot"


class TestTheCustomerGoesBack:
    def post(self, client: Client, conversation: Conversation, user: str = "ana") -> Any:
        return client.post(f"/api/conversations/{conversation.pk}/withdraw/?user_id={user}")

    def test_to_the_bot_while_nobody_has_come(self, waiting: Conversation, client: Client, settings: Any) -> None:
        settings.DEBUG = True
        assert self.post(client, waiting, "ben").status_code == 404
        for _ in range(2):
            done = self.post(client, waiting)
            assert (done.status_code, done.json()["state"]) == (200, "bot")
        name, payload = events()[-1]
        assert (name, payload["reason"]) == ("conversation_handed_back", "withdrawn")
        assert notices(waiting) == ["escalated", "handed_back"]
        assert Ticket.objects.get().note == "The customer went back to the assistant."

    def test_not_from_a_person(self, waiting: Conversation, kim: User, client: Client, settings: Any) -> None:
        settings.DEBUG = True
        actions.assign(waiting.pk, kim)
        assert self.post(client, waiting).status_code == 409
        actions.close(waiting.pk, kim)
        with pytest.raises(ConversationConflict):
            actions.withdraw(waiting.pk)

    def test_as_often_as_the_limit_allows(self, waiting: Conversation, client: Client, settings: Any) -> None:
        settings.DEBUG, settings.FABRA_RATE_LIMIT_HANDOVER = True, 2
        assert self.post(client, waiting).status_code == 200
        url = f"/api/conversations/{waiting.pk}/contact/?user_id=ana"
        statuses = [
            client.post(url, {"email": f"ana{number}@example.com"}, content_type="application/json").status_code
            for number in range(3)
        ]
        assert statuses == [200, 429, 429]
        assert notices(waiting).count("contact_kept") == 1


class TestSwitchedOff:
    def test_nobody_is_asked_for_and_the_customer_learns_how_support_is_reached(self) -> None:
        configure(is_enabled=False, texts={"en": "Call 0800 1.", "de": "Rufen Sie 0800 1 an."})
        conversation = Conversation.objects.create(user_id="ana")
        with pytest.raises(HandoverOff, match=r"No person can join this conversation\. Call 0800 1\."):
            actions.escalate(conversation.pk, "customer_asked")
        with translation.override("de"), pytest.raises(HandoverOff, match="Rufen Sie 0800 1 an"):
            actions.escalate(conversation.pk, "The context wants it")
        assert state_of(conversation) == "bot" and not events() and not notices(conversation)

    def test_who_waits_already_is_not_refused(self, waiting: Conversation) -> None:
        configure(is_enabled=False)
        assert actions.escalate(waiting.pk, "customer_asked").state == "waiting"

    def test_over_rest_it_is_a_409_of_its_own(self, client: Client, settings: Any) -> None:
        settings.DEBUG = True
        configure(is_enabled=False, texts={"en": "Call 0800 1."})
        conversation = Conversation.objects.create(user_id="ana")
        refused = client.post(f"/api/conversations/{conversation.pk}/escalate/?user_id=ana")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "handover_off")
        assert "Call 0800 1." in refused.json()["error"]["message"]

    @pytest.mark.parametrize(("is_on", "state"), [(True, "waiting"), (False, "bot")])
    def test_a_thumbs_down_asks_if_so_set(self, is_on: bool, state: str) -> None:
        configure(on_thumbs_down=is_on)
        conversation = Conversation.objects.create(user_id="ana")
        answer = Message.objects.create(conversation=conversation, user_id="ana", role="assistant", text="So.")
        give_feedback(answer.pk, "ana", "down")
        process(Event.objects.get(event_type="feedback_given").pk)
        assert state_of(conversation) == state

    def test_the_page_has_no_button(self, client: Client, settings: Any) -> None:
        settings.DEBUG = True
        assert 'id="person" class="person" type="button">' in client.get("/").content.decode()
        configure(is_enabled=False)
        assert 'id="person" class="person" type="button" hidden>' in client.get("/").content.decode()


@pytest.mark.parametrize(
    ("message", "address"),
    [
        ("ana@example.com", "ana@example.com"),
        (" ana@example.com. ", "ana@example.com"),
        ("my mail is ana@example.com", "ana@example.com"),
        ("Ana Berg <ana@example.com>", "ana@example.com"),
        ("mailto:ana@example.com", "ana@example.com"),
        ("Meine Adresse: „ana@example.com“!", "ana@example.com"),
        ("ana@example.com ana@example.com", "ana@example.com"),
        ("Can I sign in as ana@example.com?", ""),
        ("ana@example.com or ben@example.com", ""),
        ("I wrote to ana@example.com a week ago and nobody has answered me so far", ""),
        ("ana@", ""),
        ("@ana", ""),
        ("a@b", ""),
        ("", ""),
        ("x" * 250 + "@example.com", ""),
    ],
)
def test_an_address_in_a_short_message(message: str, address: str) -> None:
    assert address_in(message) == address


@pytest.mark.parametrize(
    ("message", "is_mistyped"),
    [
        ("ana@example", True),
        (" mailto:ana@example,com. ", True),
        ("ana@", True),
        ("ana@example.com", False),
        ("ana@example?", False),
        ("@ana", False),
        ("https://example.com/@ana", False),
        ("What is ana@example", False),
        ("", False),
    ],
)
def test_one_word_that_can_only_be_meant_as_an_address(message: str, is_mistyped: bool) -> None:
    assert is_mistyped_address(message) is is_mistyped


BERLIN = ZoneInfo("Europe/Berlin")
OFFICE: Any = [SimpleNamespace(weekday=day, opens=time(9), closes=time(17)) for day in range(5)]


@pytest.mark.parametrize(
    ("spans", "closed", "expected"),
    [
        (OFFICE, [], None),
        (OFFICE, [date(2026, 12, 24)], datetime(2026, 12, 25, 9, tzinfo=BERLIN)),
        (OFFICE, [date(2026, 12, day) for day in (24, 25)], datetime(2026, 12, 28, 9, tzinfo=BERLIN)),
        ([], [date(2026, 12, 24)], datetime(2026, 12, 25, 0, tzinfo=BERLIN)),
        (OFFICE, [date(2026, 12, 23)], None),
        (OFFICE, [date(2026, 12, 24) + timedelta(days) for days in range(70)], datetime(2027, 2, 22, tzinfo=BERLIN)),
    ],
)
def test_closed_days_are_no_support_hours(spans: Any, closed: list[date], expected: datetime | None) -> None:
    assert next_opening(spans, BERLIN, datetime(2026, 12, 24, 11, tzinfo=BERLIN), closed) == expected


def test_a_closed_day_without_any_hours_closes_too(waiting: Conversation) -> None:
    row = configure(time_zone="UTC")
    ClosedDay.objects.create(settings=row, day=timezone.now().date())
    assert "Nobody is here just now" in actions.ask_again(waiting.pk).text
