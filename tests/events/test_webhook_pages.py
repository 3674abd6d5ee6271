"""The admin of outbound webhooks: adding endpoints, their health, the log of deliveries, and who may do what."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from events import processing, removal, tasks
from events.event import AxiomEvent
from events.models import Event, WebhookDelivery, WebhookEndpoint
from events.outbox import record_event
from events.sending import send_due
from tests.broker import messages
from tests.factories import EventFactory
from tests.receivers import Receiver, receiver

pytestmark = pytest.mark.django_db

ENDPOINTS, DELIVERIES = "admin:events_webhookendpoint", "admin:events_webhookdelivery"
FORM = {"name": "desk", "url": "https://desk.example.com/hook", "event_types": "conversation_*\nparcel_sent",
        "is_enabled": "on"}  # fmt: skip


@pytest.fixture
def desk(settings: Any) -> Iterator[Receiver]:
    settings.FABRA_WEBHOOK_ALLOW_PRIVATE = True
    with receiver() as started:
        yield started


@pytest.fixture
def staff(client: Client) -> User:
    user = User.objects.create_user("clerk", is_staff=True)
    client.force_login(user)
    return user


def give(user: User, *codenames: str) -> None:
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="events", codename__in=codenames))


def delivered(endpoint: WebhookEndpoint, text: str = "Hello") -> WebhookDelivery:
    event = AxiomEvent(event_type="parcel_sent", entity_id="user_1", payload={"text": text})
    row, _ = record_event(event, Event.Source.CHAT)
    processing.process(row.pk)
    while send_due(endpoint.pk):
        pass
    return WebhookDelivery.objects.get(event=row)


def endpoint_of(desk: Receiver) -> WebhookEndpoint:
    return WebhookEndpoint.objects.create(name="desk", url=desk.url, event_types=["parcel_sent"])


def test_a_new_endpoints_secret_is_shown_once(admin_client: Client) -> None:
    page = admin_client.post(reverse(f"{ENDPOINTS}_add"), FORM, follow=True).content.decode()
    endpoint = WebhookEndpoint.objects.get()
    assert endpoint.event_types == ["conversation_*", "parcel_sent"]
    assert page.count(endpoint.secret) == 1
    change = reverse(f"{ENDPOINTS}_change", args=[endpoint.pk])
    for url in (reverse(f"{ENDPOINTS}_changelist"), change):
        assert endpoint.secret not in admin_client.get(url).content.decode()
    act = {"action": "rotate", "_selected_action": [endpoint.pk]}
    page = admin_client.post(reverse(f"{ENDPOINTS}_changelist"), act, follow=True).content.decode()
    old = endpoint.secret
    endpoint.refresh_from_db()
    assert endpoint.secret in page and old not in page and endpoint.valid_secrets() == [endpoint.secret, old]


def test_the_receivers_secret_is_taken_and_never_shown(admin_client: Client) -> None:
    given = "whsec_of-the-receiver"
    page = admin_client.post(reverse(f"{ENDPOINTS}_add"), FORM | {"receivers_secret": given}, follow=True)
    endpoint = WebhookEndpoint.objects.get()
    assert endpoint.signing_secrets() == [given]
    change = reverse(f"{ENDPOINTS}_change", args=[endpoint.pk])
    assert given not in page.content.decode() + admin_client.get(change).content.decode()
    admin_client.post(change, FORM | {"name": "helpdesk"})
    endpoint.refresh_from_db()
    assert (endpoint.name, endpoint.signing_secrets()) == ("helpdesk", [given])


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("url", "http://desk.example.com/", "must begin with https"),
        ("url", "https://10.0.0.1/", "private (private); FABRA_WEBHOOK_ALLOW_PRIVATE"),
        ("url", "https://[::1]/", "private (loopback)"),
        ("url", "https://me:secret@desk.example.com/", "no user, password"),
        ("url", "https://desk.example.com/#a", "fragment"),
        ("url", "javascript:alert(1)", "no http or https address"),
        ("url", "https://", "no http or https address"),
        ("event_types", "", "required"),
        ("event_types", " , ", "required"),
        ("event_types", "[a-z]", "No event type, nor a pattern"),
        ("event_types", "x" * 201, "No event type, nor a pattern"),
    ],
)
def test_what_cannot_work_is_refused(field: str, value: str, problem: str, admin_client: Client, settings: Any) -> None:
    settings.FABRA_WEBHOOK_ALLOW_PRIVATE = False
    page = admin_client.post(reverse(f"{ENDPOINTS}_add"), FORM | {field: value})
    assert problem in str(page.context["adminform"].form.errors)
    assert not WebhookEndpoint.objects.exists()


def test_http_and_private_addresses_are_taken_where_the_setting_allows_them(
    admin_client: Client, settings: Any
) -> None:
    settings.FABRA_WEBHOOK_ALLOW_PRIVATE = True
    admin_client.post(reverse(f"{ENDPOINTS}_add"), FORM | {"url": "http://127.0.0.1:9000/hook"})
    assert WebhookEndpoint.objects.get().url == "http://127.0.0.1:9000/hook"


def test_a_test_event_is_sent_from_the_endpoints_page(desk: Receiver, admin_client: Client) -> None:
    endpoint = endpoint_of(desk)
    assert "Send a test event" in admin_client.get(reverse(f"{ENDPOINTS}_change", args=[endpoint.pk])).content.decode()
    act = {"action": "send_test_event", "_selected_action": [endpoint.pk]}
    answer = admin_client.post(reverse(f"{ENDPOINTS}_changelist"), act)
    delivery = WebhookDelivery.objects.get()
    assert answer.headers["Location"] == reverse(f"{DELIVERIES}_change", args=[delivery.pk])
    send_due(endpoint.pk)
    assert len(desk.received) == 1 and delivery.event.event_type == "webhook_test"
    WebhookEndpoint.objects.update(is_enabled=False)
    page = admin_client.post(reverse(f"{ENDPOINTS}_changelist"), act, follow=True).content.decode()
    assert "Enable the endpoint first" in page and WebhookDelivery.objects.count() == 1


def test_the_list_and_the_page_show_how_the_deliveries_go(desk: Receiver, admin_client: Client) -> None:
    endpoint = endpoint_of(desk)
    desk.answers = [204, 500]
    delivered(endpoint)
    delivered(endpoint)
    page = admin_client.get(reverse(f"{ENDPOINTS}_changelist")).content.decode()
    assert "1 delivered, 1 failed" in page
    page = admin_client.get(reverse(f"{ENDPOINTS}_change", args=[endpoint.pk])).content.decode()
    assert "<svg" in page and "failures in a row" in page
    WebhookEndpoint.objects.update(failures_in_row=7, paused_until=timezone.now() + timedelta(minutes=5))
    page = admin_client.get(reverse(f"{ENDPOINTS}_change", args=[endpoint.pk])).content.decode()
    assert "Paused" in page and "7 failures" in page
    WebhookEndpoint.objects.update(is_enabled=False, is_gone=True)
    assert "answered 410" in admin_client.get(reverse(f"{ENDPOINTS}_change", args=[endpoint.pk])).content.decode()
    admin_client.post(reverse(f"{ENDPOINTS}_change", args=[endpoint.pk]), FORM | {"url": desk.url})
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.failures_in_row) == ("enabled", 0)


def test_the_list_asks_as_often_for_one_endpoint_as_for_many(admin_client: Client) -> None:
    def queries(count: int) -> int:
        for number in range(count):
            WebhookEndpoint.objects.create(name=f"{count}-{number}", url="https://a.example/", event_types=["*"])
        with CaptureQueriesContext(connection) as captured:
            admin_client.get(reverse(f"{ENDPOINTS}_changelist"))
        return len(captured)

    assert queries(1) == queries(9)


def test_the_log_shows_the_body_and_the_answer_and_can_be_filtered(desk: Receiver, admin_client: Client) -> None:
    endpoint = endpoint_of(desk)
    desk.answers, desk.body = [500], b"<script>alert(1)</script>"
    delivery = delivered(endpoint, "<b>Grüße</b>")
    page = admin_client.get(reverse(f"{DELIVERIES}_change", args=[delivery.pk])).content.decode()
    assert "&lt;b&gt;Grüße&lt;/b&gt;" in page and "&lt;script&gt;alert(1)" in page and "http_500" in page
    assert "<script>alert(1)" not in page and "Send again" in page
    changelist = reverse(f"{DELIVERIES}_changelist")
    for query, count in (
        ({"state__exact": "failed"}, 1), ({"state__exact": "delivered"}, 0), ({"event_type": "parcel_sent"}, 1),
        ({"event_type": "other"}, 0), ({"endpoint__id__exact": endpoint.pk}, 1), ({"q": "user_"}, 1), ({"q": "x"}, 0),
    ):  # fmt: skip
        assert len(admin_client.get(changelist, query).context_data["cl"].result_list) == count, query


def test_send_again_sends_it_again(desk: Receiver, admin_client: Client) -> None:
    endpoint = endpoint_of(desk)
    delivery = delivered(endpoint)
    act = {"action": "send_again", "_selected_action": [delivery.pk]}
    answer = admin_client.post(reverse(f"{DELIVERIES}_changelist"), act)
    assert answer.headers["Location"] == reverse(f"{DELIVERIES}_change", args=[delivery.pk])
    send_due(endpoint.pk)
    assert len(desk.received) == 2 and desk.received[0].body == desk.received[1].body


def test_an_events_page_links_to_its_deliveries(desk: Receiver, admin_client: Client) -> None:
    delivery = delivered(endpoint_of(desk))
    page = admin_client.get(reverse("admin:events_event_change", args=[delivery.event_id])).content.decode()
    assert reverse(f"{DELIVERIES}_change", args=[delivery.pk]) in page and "to desk" in page


def test_who_may_only_view_changes_and_sends_nothing(desk: Receiver, client: Client, staff: User) -> None:
    endpoint = endpoint_of(desk)
    delivery = delivered(endpoint, "for few eyes")
    urls = [reverse(f"{ENDPOINTS}_change", args=[endpoint.pk]), reverse(f"{DELIVERIES}_change", args=[delivery.pk])]
    assert [client.get(url).status_code for url in urls] == [403, 403]
    give(staff, "view_webhookendpoint", "view_webhookdelivery")
    pages = [client.get(url).content.decode() for url in urls]
    assert "Send a test event" not in pages[0] and "Send again" not in pages[1]
    assert "receiver" not in pages[0] and "for few eyes" not in pages[1]
    for page, action, pk in (
        (ENDPOINTS, "send_test_event", endpoint.pk), (ENDPOINTS, "rotate", endpoint.pk),
        (DELIVERIES, "send_again", delivery.pk),
    ):  # fmt: skip
        client.post(reverse(f"{page}_changelist"), {"action": action, "_selected_action": [pk]})
    assert WebhookDelivery.objects.get().state == "delivered"
    assert WebhookEndpoint.objects.get().nonce == endpoint.nonce
    give(staff, "view_webhookdelivery", "view_event")
    assert "for few eyes" in client.get(urls[1]).content.decode()


def with_deliveries(count: int) -> WebhookEndpoint:
    endpoint = WebhookEndpoint.objects.create(name="desk", url="https://desk.example.com/", event_types=["*"])
    events = EventFactory.create_batch(count)
    WebhookDelivery.objects.bulk_create(WebhookDelivery(endpoint=endpoint, event=event) for event in events)
    return endpoint


def test_an_endpoint_is_deleted_with_its_deliveries_by_who_may_delete_it(client: Client, staff: User) -> None:
    give(staff, "view_webhookendpoint", "delete_webhookendpoint")
    endpoint = with_deliveries(2)
    page = client.post(reverse(f"{ENDPOINTS}_delete", args=[endpoint.pk]), {"post": "yes"})
    assert (page.status_code, WebhookEndpoint.objects.count(), WebhookDelivery.objects.count()) == (302, 0, 0)


@pytest.mark.parametrize("way", ["page", "action"])
def test_an_endpoint_with_many_deliveries_is_deleted_by_workers(
    way: str, admin_client: Client, monkeypatch: pytest.MonkeyPatch, settings: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    monkeypatch.setattr(removal, "BATCH", 2)
    endpoint = with_deliveries(5)
    url, form = reverse(f"{ENDPOINTS}_delete", args=[endpoint.pk]), {"post": "yes"}
    if way == "action":
        url = reverse(f"{ENDPOINTS}_changelist")
        form |= {"action": "delete_selected", "_selected_action": str(endpoint.pk)}
    with django_capture_on_commit_callbacks(execute=True):
        page = admin_client.post(url, form, follow=True).content.decode()
    assert "A worker removes the deliveries of desk first" in page and "being deleted" in page
    assert WebhookDelivery.objects.count() == 5
    assert not WebhookEndpoint.objects.wanting("any") and not WebhookEndpoint.objects.with_due()
    endpoint.refresh_from_db()
    assert admin_client.post(reverse(f"{ENDPOINTS}_change", args=[endpoint.pk]), FORM).status_code == 403
    removals = [message for message in messages() if message.task == "events.tasks.remove_endpoint"]
    assert [message.args for message in removals] == [[endpoint.pk]]
    settings.FABRA_TASK_SLICE_S = -1.0
    tasks.remove_endpoint(endpoint.pk)
    assert WebhookDelivery.objects.count() == 3
    assert messages()[-1].task == "events.tasks.remove_endpoint"
    settings.FABRA_TASK_SLICE_S = 15.0
    tasks.remove_endpoint(endpoint.pk)
    assert (WebhookEndpoint.objects.count(), WebhookDelivery.objects.count()) == (0, 0)


def test_a_deletion_whose_task_was_lost_is_gone_on_with() -> None:
    endpoint = with_deliveries(1)
    endpoint.mark_deleted()
    tasks.sweep_webhooks()
    assert "events.tasks.remove_endpoint" not in [message.task for message in messages()], "a worker may be at it"
    WebhookEndpoint.objects.update(dispatched_at=timezone.now() - timedelta(minutes=1))
    tasks.sweep_webhooks()
    assert [message.task for message in messages()] == ["events.tasks.remove_endpoint"]
