"""What features have kept of a conversation goes with it, from Redis and from the kept values."""

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.conversations.kept_values import erase_kept_values
from chat.definitions import store
from chat.event_handlers import compute_history
from chat.handover import actions
from chat.models import Conversation, Customer, JoinedVisitor, Message
from chat.retention import CONVERSATIONS
from common import redis
from common.redis import plain_redis
from common.retention import prune_kind
from events.event import AxiomEvent
from events.models import Event, WebhookDelivery
from events.outbox import new_event
from events.processing import process
from events.retention import EVENTS
from features.models import FeatureValue
from features.online import entity_key_of
from features.online_repair import repair_online
from tests.factories import CustomerFactory, EventFactory, FeatureValueFactory, TicketFactory

pytestmark = pytest.mark.django_db(transaction=True)
HISTORY = "support_history"
SECRET = "My secret is in here"
OLDER = ["Ticket #3: Older (closed)"]


@pytest.fixture
def spoken(settings: Any) -> Conversation:
    """A conversation whose user asked for a person, which the support history has beside an older ticket."""
    settings.DEBUG = True
    TicketFactory.create(customer=CustomerFactory.create(user_id="ana"), number=3, subject="Older", status="closed")
    assert value() == OLDER
    spoken = Conversation.objects.create(user_id="ana", title=SECRET)
    for role, text in (("user", SECRET), ("assistant", "I see.")):
        Message.objects.create(conversation=spoken, user_id="ana", role=role, text=text)
    actions.escalate(spoken.pk, "x")
    process(Event.objects.get(event_type="conversation_escalated").pk)
    assert value() == [f"Ticket #4: {SECRET} (open)", *OLDER]
    return spoken


def value() -> Any:
    return async_to_sync(store.get_feature)(HISTORY, "ana")


def value_at(moment: Any) -> Any:
    row = {"user_id": "ana", "event_timestamp": moment}
    return async_to_sync(store.get_historical_features)([row], [HISTORY])[0][HISTORY]


def online() -> str:
    return str(plain_redis().hgetall(entity_key_of("User", "ana")))


def delete(client: Client, conversation: Conversation) -> Any:
    return client.delete(f"/api/conversations/{conversation.pk}/?user_id=ana")


def assert_gone(then: Any) -> None:
    assert "secret" not in online()
    assert value() == value_at(timezone.now()) == value_at(then) == OLDER
    assert not [kept for kept in FeatureValue.objects.all() if "secret" in str(kept.value)]


def test_with_its_deletion(client: Client, spoken: Conversation) -> None:
    moment = timezone.now()
    assert "secret" in online() and "secret" in str(value_at(moment))
    assert delete(client, spoken).status_code == 204
    assert_gone(moment)


def test_with_its_retention(spoken: Conversation, settings: Any) -> None:
    settings.FABRA_CONVERSATION_RETENTION = timedelta(days=1)
    moment = timezone.now()
    old = timezone.now() - timedelta(days=9)
    Conversation.objects.filter(pk=spoken.pk).update(state="closed", last_message_at=old)
    assert prune_kind(CONVERSATIONS)[0] == 1
    assert_gone(moment)


def test_a_value_that_one_of_its_events_led_to_goes_too_and_the_one_before_it_is_read(
    client: Client, spoken: Conversation
) -> None:
    event = new_event(
        AxiomEvent(event_type="message_sent", entity_id="ana", payload={"conversation_id": spoken.pk}),
        Event.Source.CHAT,
    )
    event.save()
    earlier = timezone.now() - timedelta(hours=1)
    FeatureValueFactory.create(entity="User", entity_key="ana", feature="said", value="Hi", event_timestamp=earlier)
    FeatureValueFactory.create(entity="User", entity_key="ana", feature="said", value=SECRET, event=event)
    assert delete(client, spoken).status_code == 204
    assert [kept.value for kept in FeatureValue.objects.filter(feature="said")] == ["Hi"]


def test_what_is_computed_while_it_is_deleted_is_erased_again(client: Client, spoken: Conversation) -> None:
    event = Event.objects.get(event_type="conversation_escalated")
    moment = timezone.now()
    assert delete(client, spoken).status_code == 204
    async_to_sync(compute_history)(event)  # which was read before the deletion
    assert not FeatureValue.objects.filter(event=event.pk).exists()
    assert_gone(moment)


def test_without_redis_the_sweep_erases_it_there(
    client: Client, spoken: Conversation, settings: Any, request: pytest.FixtureRequest
) -> None:
    moment, redis_url = timezone.now(), settings.REDIS_URL
    request.getfixturevalue("redis_down")
    response = delete(client, spoken)
    assert response.status_code == 202
    assert "values of features in Redis, which does not answer" in response.json()["left"]
    settings.REDIS_URL = redis_url
    redis.plain_redis.cache_clear()
    assert "secret" in online()
    async_to_sync(repair_online)()
    assert_gone(moment)


def test_a_value_whose_event_was_pruned_first_goes_too(client: Client, spoken: Conversation) -> None:
    others = Conversation.objects.create(user_id="ben")
    question = spoken.messages.filter(role="user").get()
    payloads = [{"conversation_id": spoken.pk}, {"message_id": question.pk}]
    led_to_by("ana", *payloads)
    # What programs send may name anything.
    led_to_by("ana", {"conversation_id": others.pk}, {"conversation_id": [spoken.pk]}, {"message_id": 2**70}, {})
    led_to_by("ben", *payloads, {"conversation_id": others.pk})
    prune_events()
    assert not Event.objects.exists() and FeatureValue.objects.filter(feature="said").count() == 9
    assert delete(client, spoken).status_code == 204
    assert FeatureValue.objects.filter(feature="said").count() == 7
    Conversation.objects.filter(pk=others.pk).update(last_message_at=timezone.now() - timedelta(days=900))
    assert prune_kind(CONVERSATIONS)[0] == 1
    assert FeatureValue.objects.filter(feature="said").count() == 6


def test_what_was_said_as_a_visitor_goes_too_once_its_event_was_pruned(client: Client, spoken: Conversation) -> None:
    led_to_by("visitor:1", {"conversation_id": spoken.pk})
    JoinedVisitor.objects.create(visitor="visitor:1", user_id="ana")
    prune_events()
    assert delete(client, spoken).status_code == 204
    assert not FeatureValue.objects.filter(feature="said").exists()


def test_a_row_that_repeats_a_value_for_its_confirmations_goes_with_it(client: Client, spoken: Conversation) -> None:
    led_to_by("ana", {"conversation_id": spoken.pk})
    said = FeatureValue.objects.get(feature="said")
    FeatureValueFactory.create(entity="User", entity_key="ana", feature="said", value=SECRET, confirmed_as=said.pk)
    FeatureValueFactory.create(entity="User", entity_key="ana", feature="said", value="Hi", confirmed_as=said.pk + 9)
    assert delete(client, spoken).status_code == 204
    assert FeatureValue.objects.get(feature="said").value == "Hi"


def led_to_by(user_id: str, *payloads: Any) -> None:
    """Store events, each with a value that it led to."""
    for payload in payloads:
        event = EventFactory.create(event_type="message_sent", entity_id=user_id, payload=payload, state="done")
        FeatureValueFactory.create(entity="User", entity_key=user_id, feature="said", value=SECRET, event=event)


def prune_events() -> None:
    Event.objects.update(state="done", received_at=timezone.now() - timedelta(days=40))
    WebhookDelivery.objects.all().delete()
    assert prune_kind(EVENTS)[1]


@pytest.mark.parametrize("of_one_user", [True, False])
def test_a_batch_of_conversations_takes_as_many_queries_as_one(*, of_one_user: bool) -> None:
    def erased(count: int) -> tuple[int, int]:
        made = []
        for number in range(count):
            user_id = "zoe" if of_one_user else f"user_{count}_{number}"
            customer = Customer.objects.get_or_create(user_id=user_id)[0]
            made.append(Conversation.objects.create(user_id=user_id))
            TicketFactory.create(customer=customer, conversation=made[-1])
            FeatureValueFactory.create(entity="User", entity_key=user_id, feature=HISTORY)
            led_to_by(user_id, {"conversation_id": made[-1].pk})
        prune_events()
        values = FeatureValue.objects.count()
        with CaptureQueriesContext(connection) as queries, transaction.atomic():
            erase_kept_values(Conversation.objects.filter(pk__in=[row.pk for row in made]))
        return len(queries), values - FeatureValue.objects.count()

    first, twelve = erased(1), erased(12)
    assert (first[1], twelve[1]) == (2, 24)
    assert first[0] == twelve[0]
