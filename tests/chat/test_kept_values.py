"""What features have kept of a conversation goes with it, from Redis and from the kept values."""

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.utils import timezone

from chat.definitions import store
from chat.event_handlers import compute_history
from chat.handover import actions
from chat.models import Conversation, Message
from chat.retention import CONVERSATIONS
from common import redis
from common.redis import plain_redis
from common.retention import prune_kind
from events.event import AxiomEvent
from events.models import Event
from events.outbox import new_event
from events.processing import process
from features.models import FeatureValue
from features.online import entity_key_of
from features.online_repair import repair_online
from tests.factories import CustomerFactory, FeatureValueFactory, TicketFactory

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
