"""Outbound webhooks: each event that an endpoint wants reaches it, signed, at least once, whatever fails meanwhile."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from common.locks import held
from common.retention import prune_kind
from events import processing
from events.deliveries import send_again, send_test
from events.erasure import erase_events
from events.event import AxiomEvent
from events.handlers import notice_of
from events.models import Event, WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookSource
from events.models.endpoints import PAUSE_AFTER
from events.outbox import record_event
from events.retention import EVENTS
from events.sending import send_due
from events.tasks import sweep_webhooks
from events.webhooks import sign, verify
from tests.broker import messages
from tests.processes import PROJECT, test_environment, wait_until
from tests.receivers import Receiver, receiver

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def private_addresses(settings: Any) -> None:
    settings.FABRA_WEBHOOK_ALLOW_PRIVATE = True


@pytest.fixture
def desk() -> Iterator[Receiver]:
    with receiver() as started:
        yield started


def endpoint_of(desk: Receiver, name: str = "desk", types: tuple[str, ...] = ("conversation_*",)) -> WebhookEndpoint:
    return WebhookEndpoint.objects.create(name=name, url=desk.url, event_types=list(types))


def happened(event_type: str = "conversation_escalated", **fields: Any) -> Event:
    event = AxiomEvent(**{"event_type": event_type, "entity_id": "user_1", **fields})
    row, _ = record_event(event, Event.Source.CHAT)
    processing.process(row.pk)
    row.refresh_from_db()
    return row


def only() -> WebhookDelivery:
    return WebhookDelivery.objects.get()


def make_due() -> None:
    """Let the waits of all deliveries and endpoints be over."""
    now = timezone.now()
    WebhookDelivery.objects.update(next_attempt_at=now - timedelta(seconds=1))
    WebhookEndpoint.objects.update(paused_until=None, dispatched_at=now - timedelta(minutes=5))


def send_all() -> None:
    """Work off the queue, as a worker does."""
    for endpoint in WebhookEndpoint.objects.all():
        while send_due(endpoint.pk):
            pass


# ---------------------------------------------------------------- what is sent


def test_an_event_is_sent_signed_and_a_receiver_can_verify_it(desk: Receiver) -> None:
    endpoint = endpoint_of(desk)
    event = happened(payload={"reason": "Straße <b>"})
    send_all()
    [got] = desk.received
    assert json.loads(got.body) == {
        "id": event.event_id, "event_type": "conversation_escalated", "entity_id": "user_1",
        "payload": {"reason": "Straße <b>"}, "occurred_at": event.occurred_at.isoformat(),
    }  # fmt: skip
    assert got.path == "/hook" and got.headers["Content-Type"] == "application/json"
    assert got.headers["User-Agent"] == "fabra-webhooks"
    timestamp, signature = got.headers["X-Fabra-Timestamp"], got.headers["X-Fabra-Signature"]
    assert signature == sign(endpoint.secret, timestamp, got.body)
    verify(WebhookSource(nonce=endpoint.nonce), timestamp, signature, got.body)  # the receiving end's own check
    delivery = only()
    assert (delivery.state, delivery.attempts, delivery.status, delivery.error) == ("delivered", 1, 204, "")
    assert got.headers["X-Fabra-Delivery"] == str(delivery.pk)
    endpoint.refresh_from_db()
    assert endpoint.last_success_at and endpoint.failures_in_row == 0


@pytest.mark.parametrize(
    ("types", "wanted"),
    [
        (["conversation_*"], True), (["parcel_sent", "conversation_escalated"], True), (["*"], True),
        (["*_escalated"], True), (["conversation"], False), (["conversation_escalated_"], False),
        (["Conversation_*"], False), (["conversation.escalated"], False), ([], False),
    ],
)  # fmt: skip
def test_an_endpoint_gets_the_types_it_wants(types: list[str], wanted: bool) -> None:
    assert WebhookEndpoint(event_types=types).wants("conversation_escalated") is wanted


def test_a_disabled_endpoint_gets_nothing(desk: Receiver) -> None:
    endpoint_of(desk)
    WebhookEndpoint.objects.update(is_enabled=False)
    assert happened("parcel_sent").state == "unhandled"
    assert not WebhookDelivery.objects.exists()


def test_an_event_for_a_webhook_alone_is_handled_and_its_sender_gets_no_notice(desk: Receiver) -> None:
    row, _ = record_event(AxiomEvent(event_type="parcel_sent", entity_id="user_1"), Event.Source.API)
    assert notice_of(row).startswith("No handler takes")
    endpoint_of(desk, types=("parcel_sent",))
    assert notice_of(row) == ""
    processing.process(row.pk)
    row.refresh_from_db()
    assert row.state == "done" and notice_of(row) == ""
    [outcome] = row.outcomes.all()
    changed = {"model": "events.webhookdelivery", "pk": only().pk, "text": "to desk"}
    assert (outcome.handler, outcome.detail) == ("webhooks", {"changed": [changed]})


def test_a_webhook_takes_no_default_handlers_place(desk: Receiver, embedder: Any) -> None:
    from retrieval.models import Document

    endpoint_of(desk, types=("doc_*",))
    event = happened("doc_updated", entity_id="pay", payload={"content": "By card.", "index": "docs"})
    assert event.state == "done" and event.applied_at
    assert Document.objects.get(entity_id="pay").text == "By card."
    send_all()
    assert json.loads(desk.received[0].body)["payload"]["content"] == "By card."


def test_an_event_overtaken_by_a_newer_state_is_delivered_too(desk: Receiver, embedder: Any) -> None:
    endpoint_of(desk, types=("doc_*",))
    rows = [
        record_event(
            AxiomEvent(event_type="doc_updated", entity_id="pay", payload={"content": text, "index": "docs"}), "api"
        )[0]
        for text in ("By card.", "By invoice.")
    ]
    for row in rows:
        processing.process_newest(row.pk)
    assert sorted(Event.objects.values_list("state", flat=True)) == ["done", "superseded"]
    send_all()
    assert {json.loads(got.body)["payload"]["content"] for got in desk.received} == {"By card.", "By invoice."}


# ---------------------------------------------------------------- failures


def test_a_failure_is_tried_again_later_with_a_fresh_signature(desk: Receiver, monkeypatch: Any) -> None:
    endpoint = endpoint_of(desk)
    desk.answers, desk.body = [500, 503], b"<b>no</b>" + b"x" * 5000
    event = happened()
    before = timezone.now()
    send_all()
    delivery = only()
    assert (delivery.state, delivery.attempts, delivery.status, delivery.error) == ("failed", 1, 500, "http_500")
    assert before + timedelta(seconds=7) < delivery.next_attempt_at < timezone.now() + timedelta(seconds=20)
    send_all()
    assert len(desk.received) == 1  # not yet
    later = time.time() + 90
    monkeypatch.setattr(time, "time", lambda: later)
    for _ in range(2):
        make_due()
        send_all()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("delivered", 3)
    assert [json.loads(got.body)["id"] for got in desk.received] == [event.event_id] * 3
    first, second, _ = (got.headers["X-Fabra-Timestamp"] for got in desk.received)
    assert int(second) > int(first)
    log = list(WebhookAttempt.objects.values_list("status", "error"))
    assert log == [(500, "http_500"), (503, "http_503"), (204, "")]
    assert WebhookAttempt.objects.first().response == "<b>no</b>" + "x" * 1015
    endpoint.refresh_from_db()
    assert endpoint.failures_in_row == 0 and endpoint.last_failure_at


def test_the_waits_grow_and_end_after_about_a_day(desk: Receiver) -> None:
    endpoint_of(desk)
    delivery, waits = WebhookDelivery(give_up_at=timezone.now() + timedelta(hours=24)), []
    passed = timedelta()
    while delivery.state != "given_up":
        delivery.attempts += 1
        delivery.failed("http_500")
        wait = delivery.next_attempt_at - timezone.now()
        delivery.give_up_at -= wait  # instead of waiting
        passed += wait
        waits.append(wait.total_seconds())
    assert 10 <= len(waits) <= 16
    assert waits[0] < 13 and max(waits) <= 5 * 3600
    assert timedelta(hours=17) < passed < timedelta(hours=30)
    assert delivery.error == "http_500" and delivery.finished_at


def test_what_waits_too_long_is_given_up_by_the_sweep(desk: Receiver) -> None:
    endpoint_of(desk)
    happened()
    WebhookEndpoint.objects.update(is_enabled=False)
    WebhookDelivery.objects.update(give_up_at=timezone.now())
    sweep_webhooks()
    assert (only().state, only().error) == ("given_up", "expired")


def test_an_endpoint_that_hangs_costs_one_timeout(desk: Receiver, settings: Any) -> None:
    settings.FABRA_WEBHOOK_TIMEOUT_S = 1.0
    desk.hang = threading.Event()
    endpoint = endpoint_of(desk)
    for number in range(3):
        happened(entity_id=f"user_{number}")
    assert send_due(endpoint.pk) is True  # the others are due still, and are enqueued behind the other endpoints
    assert WebhookAttempt.objects.get().error == "timeout"


def test_a_server_that_drips_its_answer_is_ended_too(settings: Any) -> None:
    settings.FABRA_WEBHOOK_TIMEOUT_S = 0.5
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            try:
                while True:
                    connection.sendall(b"X")
                    time.sleep(0.05)
            except OSError:
                connection.close()

        threading.Thread(target=drip, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        WebhookEndpoint.objects.create(name="slow", url=url, event_types=["*"])
        happened()
        send_all()
    assert only().error in ("timeout", "connection_failed")


def test_a_refused_connection_and_an_unknown_host_are_failures_with_a_code(desk: Receiver) -> None:
    endpoint = endpoint_of(desk)
    happened()
    for url, error in (
        ("http://127.0.0.1:1/", "connection_failed"),
        ("https://nobody.invalid/", "host_unknown"),
        (desk.url.replace("http:", "https:"), "tls_failed"),
    ):
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(url=url)
        make_due()
        send_all()
        assert (only().state, only().error) == ("failed", error)


def test_410_disables_the_endpoint_and_ends_what_waits(desk: Receiver) -> None:
    endpoint = endpoint_of(desk)
    happened()
    happened(entity_id="user_2")
    desk.answers = [410]
    send_all()
    endpoint.refresh_from_db()
    assert (endpoint.is_enabled, endpoint.state) == (False, "gone")
    assert set(WebhookDelivery.objects.values_list("state", "error")) == {("given_up", "endpoint_gone")}
    assert len(desk.received) == 1


def test_a_redirect_is_a_failure_and_is_not_followed(desk: Receiver) -> None:
    with receiver() as elsewhere:
        endpoint_of(desk)
        desk.answers, desk.headers = [302, 307], {"Location": elsewhere.url}
        happened()
        for _ in range(2):
            make_due()
            send_all()
        assert (only().state, only().error, only().attempts) == ("failed", "redirected", 2)
        assert not elsewhere.received


def test_after_many_failures_in_a_row_the_endpoint_is_asked_by_one_delivery_now_and_then(desk: Receiver) -> None:
    endpoint = endpoint_of(desk)
    desk.answers = [500] * 50
    for number in range(20):
        happened(entity_id=f"user_{number}")
    send_all()
    endpoint.refresh_from_db()
    assert (len(desk.received), endpoint.failures_in_row, endpoint.state) == (PAUSE_AFTER, PAUSE_AFTER, "paused")
    sweep_webhooks()
    assert not [message for message in messages("webhooks") if message.args == [endpoint.pk]]
    WebhookEndpoint.objects.update(paused_until=timezone.now() - timedelta(seconds=1))
    send_all()
    assert len(desk.received) == PAUSE_AFTER + 1
    desk.answers = []
    WebhookEndpoint.objects.update(paused_until=timezone.now() - timedelta(seconds=1))
    send_all()
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.failures_in_row) == ("enabled", 0)
    waiting = WebhookDelivery.objects.filter(state="failed").count()
    assert WebhookDelivery.objects.filter(state="delivered").count() == 20 - waiting and waiting <= PAUSE_AFTER + 1


@pytest.mark.parametrize(("header", "seconds"), [("600", 600), ("999999", 4 * 3600), ("soon", 0), ("²", 0)])
def test_an_endpoint_may_ask_to_be_left_alone(desk: Receiver, header: str, seconds: int) -> None:
    endpoint = endpoint_of(desk)
    desk.answers, desk.headers = [429], {"Retry-After": header} if header != "²" else {}
    happened()
    send_all()
    endpoint.refresh_from_db()
    left = (endpoint.paused_until - timezone.now()).total_seconds() if endpoint.paused_until else 0
    assert seconds - 20 < left <= seconds


# ---------------------------------------------------------------- crashes and concurrency


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_dies_between_the_answer_and_its_commit_leads_to_a_double_with_the_same_id(
    desk: Receiver,
) -> None:
    endpoint = endpoint_of(desk)
    event = happened()
    with transaction.atomic(), worker_that_sends(endpoint) as worker:
        WebhookDelivery.objects.select_for_update().get()  # so the worker waits when it would store the result
        wait_until(lambda: desk.received and _waits_for_a_lock())
        worker.kill()
    assert (only().state, only().attempts) == ("pending", 0)
    wait_until(lambda: _is_free(endpoint))
    send_all()
    assert [json.loads(got.body)["id"] for got in desk.received] == [event.event_id] * 2
    assert len({got.headers["X-Fabra-Delivery"] for got in desk.received}) == 1
    assert only().state == "delivered"


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_while_it_sends_leaves_nothing_undone(desk: Receiver) -> None:
    endpoint = endpoint_of(desk)
    event = happened()
    desk.hang = threading.Event()
    with worker_that_sends(endpoint) as worker:
        wait_until(lambda: desk.received)
        assert send_due(endpoint.pk) is False and len(desk.received) == 1  # the other one has it
        worker.kill()
    desk.hang.set()
    desk.hang = None
    wait_until(lambda: _is_free(endpoint))
    WebhookEndpoint.objects.update(dispatched_at=timezone.now() - timedelta(minutes=5))
    count = len(messages("webhooks"))
    sweep_webhooks()
    assert [message.args for message in messages("webhooks")[count:]] == [[endpoint.pk]]
    send_all()
    assert [json.loads(got.body)["id"] for got in desk.received] == [event.event_id] * 2
    assert only().state == "delivered"


@contextmanager
def worker_that_sends(endpoint: WebhookEndpoint) -> Iterator[subprocess.Popen[bytes]]:
    """Send an endpoint's deliveries in a process of its own, which ends with the block."""
    code = f"import django; django.setup(); from events.tasks import send_webhooks; send_webhooks({endpoint.pk})"
    environment = test_environment(FABRA_WEBHOOK_ALLOW_PRIVATE="1", FABRA_WEBHOOK_TIMEOUT="60")
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, env=environment)
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def _waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])


def _is_free(endpoint: WebhookEndpoint) -> bool:
    with held(f"webhooks:{endpoint.pk}") as is_mine:
        return is_mine


def test_an_event_that_is_processed_again_makes_no_second_delivery(desk: Receiver) -> None:
    endpoint_of(desk)
    event = happened()
    Event.objects.filter(pk=event.pk).update(state="received")
    event.outcomes.all().delete()  # as if the worker had died before it stored them
    processing.process(event.pk)
    assert WebhookDelivery.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_deliveries_are_enqueued_on_commit_and_while_the_broker_is_down_wait_for_the_sweep(
    desk: Receiver, broker_down: None
) -> None:
    endpoint_of(desk)
    happened()
    assert only().state == "pending"


@pytest.mark.django_db(transaction=True)
def test_an_event_that_was_rolled_back_is_sent_to_nobody(desk: Receiver) -> None:
    endpoint = endpoint_of(desk)
    with transaction.atomic():
        record_event(AxiomEvent(event_type="conversation_closed", entity_id="a"), Event.Source.CHAT)
        transaction.set_rollback(True)
    happened()
    assert [message.args for message in messages("webhooks")] == [[endpoint.pk]]
    send_all()
    assert len(desk.received) == 1


def test_the_sweep_enqueues_each_endpoint_once_and_not_again_at_once(desk: Receiver) -> None:
    endpoint = endpoint_of(desk)
    happened()
    happened()
    make_due()
    for _ in range(2):
        sweep_webhooks()
    assert [message.args for message in messages("webhooks")] == [[endpoint.pk]]


@pytest.mark.django_db(transaction=True)
def test_a_hundred_deliveries_to_a_dead_endpoint_do_not_delay_another(desk: Receiver, settings: Any) -> None:
    patience_s = settings.FABRA_WEBHOOK_TIMEOUT_S
    with receiver() as dead:
        dead.hang = threading.Event()
        endpoint_of(dead, "dead", ("*",))
        for number in range(100):
            happened("poked", entity_id=f"user_{number}")
        alive = endpoint_of(desk, "alive")
        happened()
        # One worker takes the messages in their order; what a task enqueues again goes to the end.
        queue, tried = [message.args[0] for message in messages("webhooks")], 0
        while not desk.received:
            endpoint_pk = queue.pop(0)
            settings.FABRA_WEBHOOK_TIMEOUT_S = patience_s if endpoint_pk == alive.pk else 0.2
            queue += [endpoint_pk] if send_due(endpoint_pk) else []
            tried += endpoint_pk != alive.pk
        assert len(dead.received) <= PAUSE_AFTER  # five timeouts, and not a hundred
        assert tried >= 100


# ---------------------------------------------------------------- secrets and addresses


def test_during_a_rotation_both_secrets_sign(desk: Receiver) -> None:
    endpoint = endpoint_of(desk)
    old = endpoint.secret
    new = endpoint.rotate()
    happened()
    send_all()
    [got] = desk.received
    timestamp, signatures = got.headers["X-Fabra-Timestamp"], got.headers["X-Fabra-Signature"].split(",")
    assert signatures == [sign(new, timestamp, got.body), sign(old, timestamp, got.body)]
    endpoint.end_previous()
    happened()
    send_all()
    assert "," not in desk.received[1].headers["X-Fabra-Signature"]


def test_a_secret_that_the_receiver_chose_is_stored_encrypted(desk: Receiver, settings: Any) -> None:
    endpoint = endpoint_of(desk)
    endpoint.give_secret("whsec_of-the-receiver")
    endpoint.save()
    assert "of-the-receiver" not in str(WebhookEndpoint.objects.values().get())
    old = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new" * 20, [old]
    happened()
    send_all()
    [got] = desk.received
    expected = sign("whsec_of-the-receiver", got.headers["X-Fabra-Timestamp"], got.body)
    assert got.headers["X-Fabra-Signature"] == expected
    settings.SECRET_KEY_FALLBACKS = []
    happened()
    send_all()
    assert WebhookDelivery.objects.first().error == "secret_unreadable"
    endpoint.rotate()
    make_due()
    send_all()
    assert len(desk.received) == 2


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://127.0.0.1/", "address_private"),
        ("https://localhost/", "address_private"),
        ("http://169.254.169.254/latest/meta-data/", "address_private"),
        ("https://[::ffff:10.0.0.1]/", "address_private"),
        ("https://2130706433/", "address_private"),
        ("http://8.8.8.8/", "https_required"),
        ("ftp://example.com/", "address_invalid"),
    ],
)
def test_addresses_that_may_not_be_asked_are_refused_before_any_connection(url: str, error: str, settings: Any) -> None:
    settings.FABRA_WEBHOOK_ALLOW_PRIVATE = False
    WebhookEndpoint.objects.create(name="a", url=url, event_types=["*"])
    happened()
    send_all()
    assert (only().state, only().error, only().status) == ("failed", error, None)


def test_no_secret_and_no_text_is_logged(desk: Receiver, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint = endpoint_of(desk)
    happened(payload={"text": "my-password"})
    send_all()
    assert desk.received
    assert endpoint.secret not in caplog.text and "my-password" not in caplog.text


# ---------------------------------------------------------------- erasure, retention, again


def test_an_erased_event_is_not_sent_and_what_was_answered_is_erased(desk: Receiver, settings: Any) -> None:
    endpoint_of(desk, types=("doc_*",))
    desk.answers, desk.body = [500], b"you said: the text"
    event = happened("doc_updated", entity_id="pay", payload={"index": "docs", "content": "the text"})
    send_all()
    assert WebhookAttempt.objects.get().response == "you said: the text"
    assert erase_events(event.state_key, "pay", timezone.now()) == 1
    assert (only().state, only().error) == ("given_up", "event_erased")
    assert WebhookAttempt.objects.get().response == ""
    assert send_again(WebhookDelivery.objects.all()) == 1
    send_all()
    assert (only().state, only().error) == ("given_up", "event_erased")
    assert len(desk.received) == 1


def test_a_settled_event_is_pruned_with_its_deliveries_but_not_before_they_ended(desk: Receiver, settings: Any) -> None:
    endpoint_of(desk)
    happened()
    Event.objects.update(received_at=timezone.now() - timedelta(days=60))
    prune_kind(EVENTS)
    assert WebhookDelivery.objects.count() == 1
    send_all()
    prune_kind(EVENTS)
    assert not Event.objects.exists() and not WebhookAttempt.objects.exists()


def test_a_delivery_can_be_sent_again_with_the_same_id(desk: Receiver) -> None:
    endpoint_of(desk)
    desk.answers = [410]
    event = happened()
    send_all()
    endpoint = WebhookEndpoint.objects.get()
    endpoint.is_enabled = True
    endpoint.save()
    endpoint.revive()
    assert send_again(WebhookDelivery.objects.all()) == 1
    send_all()
    assert only().state == "delivered" and WebhookAttempt.objects.count() == 2
    assert [json.loads(got.body)["id"] for got in desk.received] == [event.event_id] * 2


def test_a_test_event_goes_to_its_endpoint_alone_and_at_once(desk: Receiver) -> None:
    with receiver() as other:
        endpoint_of(other, "other", ("*",))
        endpoint = endpoint_of(desk)
        WebhookEndpoint.objects.update(paused_until=timezone.now() + timedelta(hours=1))
        delivery = send_test(endpoint, "ana")
        assert processing.process(delivery.event_id) is None  # no other endpoint hears of it
        send_all()
        [got] = desk.received
        assert json.loads(got.body)["event_type"] == "webhook_test"
        assert not other.received


# ---------------------------------------------------------------- from one installation to another


def test_one_installation_receives_what_another_sends() -> None:
    from tests.chat.browser import Server, own_database

    make_source = 'from events.models import WebhookSource; print(WebhookSource.objects.create(name="peer").secret)'
    ask = "from events.models import Event; print(Event.objects.values_list('event_id', 'event_type', 'source'))"
    with own_database("", SECRET_KEY="of the other installation", FABRA_HTTPS_ONLY="") as environment:

        def run(code: str) -> str:
            command = [sys.executable, "-c", f"import django; django.setup()\n{code}"]
            done = subprocess.run(
                command, env=os.environ | environment, cwd=PROJECT, check=True, capture_output=True, timeout=300
            )
            return done.stdout.decode().strip()

        endpoint = WebhookEndpoint(name="peer", event_types=["*"])
        endpoint.give_secret(run(make_source))
        server = Server(**environment)
        try:
            server.wait()
            endpoint.url = f"{server.url}webhooks/peer/"
            endpoint.save()
            event = happened(payload={"text": "Grüße"})
            send_all()
            assert (only().state, only().status) == ("delivered", 202)
            send_again(WebhookDelivery.objects.all())
            send_all()
            assert (only().state, only().status) == ("delivered", 200)  # known already
        finally:
            server.stop()
        assert run(ask) == f"<EventQuerySet [('{event.event_id}', 'conversation_escalated', 'webhook')]>"
