"""Webhooks: signed within a window, with two secrets during a rotation; a replay is the same event."""

import hmac
import json
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from events import webhooks
from events.models import Event, WebhookSource
from events.webhooks import sign
from retrieval.models import Document, Index

pytestmark = pytest.mark.django_db

BODY = {"event_type": "poked", "entity_id": "b1", "payload": {"a": 1}}
CMS = {
    "event_type": {"$.event": {"entry.publish": "doc_updated", "entry.delete": "doc_deleted"}},
    "entity_id": "$.entry.id",
    "occurred_at": "$.entry.updated",
    "payload": {"content": "$.entry.blocks.0.text", "index": "docs", "metadata": {"category": "$.entry.category"}},
}
LIST, ADD = "admin:events_webhooksource_changelist", "admin:events_webhooksource_add"


@pytest.fixture
def source() -> WebhookSource:
    return WebhookSource.objects.create(name="cms")


def send(
    source: WebhookSource,
    body: Any = BODY,
    *,
    secret: str = "",
    age_s: int = 0,
    raw: bytes | None = None,
    **headers: str,
) -> Any:
    data = json.dumps(body).encode() if raw is None else raw
    timestamp = str(int(time.time()) - age_s)
    signed = {"X-Fabra-Timestamp": timestamp, "X-Fabra-Signature": sign(secret or source.secret, timestamp, data)}
    address = f"/webhooks/{source.name}/"
    return Client().post(address, data, content_type="application/json", headers={**signed, **headers})


def code_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_a_signed_message_is_an_event(source: WebhookSource) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    response = send(source)
    row = Event.objects.get()
    assert (response.status_code, response.json()) == (
        202,
        {"id": row.event_id, "state": "received", "is_new": True},
    )
    assert (row.event_type, row.entity_id, row.payload) == ("poked", "b1", {"a": 1})
    assert (row.source, row.sender) == ("webhook", "cms")
    assert before <= row.occurred_at <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("headers", "age_s", "expected"),
    [
        ({"X-Fabra-Signature": "sha256=" + "0" * 64}, 0, (401, "webhook_signature_invalid")),
        ({"X-Fabra-Signature": ""}, 0, (401, "webhook_signature_invalid")),
        ({"X-Fabra-Signature": "sha256=é"}, 0, (401, "webhook_signature_invalid")),
        ({}, 301, (401, "webhook_timestamp_stale")),
        ({}, -310, (401, "webhook_timestamp_stale")),
    ],
)
def test_what_cannot_be_trusted_is_refused(
    headers: dict[str, str], age_s: int, expected: tuple[int, str], source: WebhookSource
) -> None:
    assert code_of(send(source, age_s=age_s, **headers)) == expected
    assert not Event.objects.exists()


def test_another_time_under_the_same_signature_is_refused(source: WebhookSource) -> None:
    earlier = str(int(time.time()) - 1)
    assert code_of(send(source, **{"X-Fabra-Timestamp": earlier})) == (401, "webhook_signature_invalid")
    assert not Event.objects.exists()


def test_another_body_under_the_same_signature_is_refused(source: WebhookSource) -> None:
    timestamp = str(int(time.time()))
    signed = sign(source.secret, timestamp, b'{"event_type": "a"}')
    headers = {"X-Fabra-Timestamp": timestamp, "X-Fabra-Signature": signed}
    assert code_of(send(source, **headers)) == (401, "webhook_signature_invalid")


@pytest.mark.parametrize("timestamp", ["", "now", "1e9", "١٢٣", "-5", "9" * 30])
def test_a_timestamp_that_is_none_is_stale(timestamp: str, source: WebhookSource) -> None:
    data = json.dumps(BODY).encode()
    headers = {"X-Fabra-Timestamp": timestamp, "X-Fabra-Signature": sign(source.secret, timestamp, data)}
    assert send(source, raw=data, **headers).status_code == 401


@pytest.fixture
def hmacs(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The messages that the standard library was asked to authenticate in the test."""
    messages: list[bytes] = []
    new = hmac.new

    def counting(key: Any, msg: Any = None, digestmod: Any = "") -> Any:
        messages.append(msg or b"")
        return new(key, msg, digestmod)

    monkeypatch.setattr(hmac, "new", counting)
    return messages


def signed_body(messages: list[bytes]) -> int:
    """Count the HMACs over the signed body; the derivation of a secret is another, over a nonce."""
    count = sum(message.endswith(json.dumps(BODY).encode()) for message in messages)
    messages.clear()
    return count


def test_unknown_and_disabled_sources_are_told_by_nothing(source: WebhookSource, hmacs: list[bytes]) -> None:
    wrong = send(source, secret="another")
    work = signed_body(hmacs)
    for name in ("other", "a\x00b", "A", "x" * 300):
        unknown = send(WebhookSource(name=name), secret="another")
        assert (unknown.status_code, unknown.content) == (wrong.status_code, wrong.content) == (401, wrong.content)
        assert unknown.headers == wrong.headers
        assert signed_body(hmacs) == work
    source.rotate()
    signed_body(hmacs)
    assert send(source, secret="another").content == wrong.content
    assert signed_body(hmacs) == work
    WebhookSource.objects.update(is_enabled=False)
    assert send(source).content == wrong.content  # signed rightly, and refused alike


def test_the_timestamp_comes_before_any_hmac_and_before_the_source(source: WebhookSource, hmacs: list[bytes]) -> None:
    for name in ("cms", "other"):
        hmacs.clear()
        assert code_of(send(WebhookSource(name=name), secret="another", age_s=400)) == (401, "webhook_timestamp_stale")
        assert signed_body(hmacs) == 1  # the test's own


@pytest.mark.parametrize("signatures", ["," * 1000, ",".join(["sha256=" + "0" * 64] * 1000), "," * 100_000])
def test_each_secret_is_computed_once_however_many_signatures(
    signatures: str, source: WebhookSource, hmacs: list[bytes]
) -> None:
    source.rotate()
    assert code_of(send(source, **{"X-Fabra-Signature": signatures})) == (401, "webhook_signature_invalid")
    assert signed_body(hmacs) <= 3  # one for each secret, and the test's own


@pytest.mark.parametrize(("before", "status"), [(0, 202), (4, 202), (5, 401)])
def test_five_signatures_are_read(before: int, status: int, source: WebhookSource) -> None:
    timestamp, data = str(int(time.time())), json.dumps(BODY).encode()
    right = sign(source.secret, timestamp, data)
    for separator in (",", ", "):
        many = separator.join(["sha256=" + "0" * 64] * before + [right])
        headers = {"X-Fabra-Timestamp": timestamp, "X-Fabra-Signature": many}
        assert send(source, raw=data, **headers).status_code in (status, 200 if status == 202 else status)


def test_no_decoy_opens_a_door(source: WebhookSource) -> None:
    for secret in ("", webhooks._DECOY):
        assert send(WebhookSource(name="other"), secret=secret or "x").status_code == 401
        assert send(source, secret=secret or "x").status_code == 401


def test_two_secrets_are_valid_during_a_rotation(source: WebhookSource) -> None:
    first = source.secret
    second = source.rotate(timedelta(hours=1))
    assert first != second
    assert send(source, secret=first).status_code == 202
    assert send(source, {**BODY, "entity_id": "b2"}, secret=second).status_code == 202
    WebhookSource.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    assert send(source, secret=first).status_code == 401
    source.refresh_from_db()
    source.rotate()
    source.rotate()
    assert send(source, secret=second).status_code == 401  # the one before the one before


def test_a_sender_may_sign_with_both_secrets(source: WebhookSource) -> None:
    timestamp, data = str(int(time.time())), json.dumps(BODY).encode()
    both = f"sha256={'0' * 64}, {sign(source.secret, timestamp, data)}"
    headers = {"X-Fabra-Timestamp": timestamp, "X-Fabra-Signature": both}
    assert send(source, raw=data, **headers).status_code == 202


def test_a_replay_is_the_same_event_under_either_secret(source: WebhookSource) -> None:
    old = source.secret
    source.rotate()
    timestamp, data = str(int(time.time())), json.dumps(BODY).encode()
    for secret, status in ((old, 202), (old, 200), (source.secret, 200)):
        headers = {"X-Fabra-Timestamp": timestamp, "X-Fabra-Signature": sign(secret, timestamp, data)}
        assert send(source, raw=data, **headers).status_code == status
    assert Event.objects.count() == 1


def test_an_id_in_the_body_makes_it_one_event_whenever_it_is_signed(source: WebhookSource) -> None:
    assert send(source, {**BODY, "id": "e1"}, age_s=60).status_code == 202
    assert send(source, {**BODY, "id": "e1"}).status_code == 200
    assert code_of(send(source, {**BODY, "id": "e1", "payload": {}})) == (409, "event_conflict")


def test_a_mapping_makes_an_event_of_another_systems_body(source: WebhookSource) -> None:
    source.mapping = CMS
    source.save()
    entry = {"id": 7, "updated": "2026-01-02T03:04:05Z", "blocks": [{"text": "Penguins."}]}
    assert send(source, {"event": "entry.publish", "entry": entry}).status_code == 202
    row = Event.objects.get()
    assert (row.event_type, row.entity_id) == ("doc_updated", "7")
    assert row.payload == {"content": "Penguins.", "index": "docs", "metadata": {}}
    assert row.occurred_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert send(source, {"event": "media.create", "entry": entry}).status_code == 204
    assert code_of(send(source, {"event": "entry.delete"})) == (400, "invalid_input")
    assert Event.objects.count() == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"a": NaN}',
        b'{"event_type": "a", "entity_id": "b\\u0000"}',
        b'{"event_type": 5, "entity_id": "b"}',
        b'{"event_type": "doc_updated", "entity_id": "b", "payload": {"audience": ["staff"], "audience": []}}',
        b'{"event_type": "a", "entity_id": "b", "payload": []}',
        b'{"event_type": "a", "entity_id": "b", "occurred_at": "soon"}',
        b'{"event_type": "a", "entity_id": "b", "occurred_at": 1e300}',
    ],
)
def test_a_signed_body_that_is_no_event_is_a_clear_error(raw: bytes, source: WebhookSource) -> None:
    assert send(source, raw=raw).status_code == 400
    assert not Event.objects.exists()


def test_a_body_above_the_limit_is_too_large(source: WebhookSource, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    assert code_of(send(source, {**BODY, "payload": {"a": "x" * 2000}})) == (413, "request_too_large")
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE, settings.FABRA_EVENT_MAX_BYTES = 10_000, 1000
    assert code_of(send(source, {**BODY, "payload": {"a": "x" * 2000}})) == (413, "payload_too_large")


def test_the_secret_is_shown_once_and_neither_stored_nor_logged(admin_client: Client, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page = admin_client.post(reverse(ADD), {"name": "cms", "mapping": "{}", "is_enabled": "on"}, follow=True)
    secret = page.content.decode().split('class="fb-key">', 1)[1].split("<", 1)[0]
    source = WebhookSource.objects.get()
    assert secret == source.secret
    assert send(source, secret=secret).status_code == 202
    assert secret not in str(WebhookSource.objects.values().get())
    assert secret not in caplog.text
    stored = [query["sql"] for query in queries if "django_session" not in query["sql"]]
    assert secret not in str(stored)
    for url in (reverse(LIST), reverse("admin:events_webhooksource_change", args=[source.pk])):
        assert secret not in admin_client.get(url).content.decode()


def test_rotating_in_the_admin_shows_the_new_secret(source: WebhookSource, admin_client: Client) -> None:
    old = source.secret
    act = {"action": "rotate", "_selected_action": [source.pk]}
    page = admin_client.post(reverse(LIST), act, follow=True).content.decode()
    source.refresh_from_db()
    assert source.secret in page
    assert old not in page
    assert "two, the previous until" in page
    admin_client.post(reverse(LIST), {"action": "end_previous", "_selected_action": [source.pk]})
    source.refresh_from_db()
    assert send(source, secret=old).status_code == 401


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ("[]", "must be a JSON object"),
        ('{"event_type": "a"}', "needs entity_id"),
        ('{"event_type": "a", "entity_id": "$..id"}', "no path"),
        ('{"event_type": "a", "entity_id": "$.id", "content": "$.x"}', "no part of an event"),
        ('{"event_type": {"$.a": {}, "b": 1}, "entity_id": "$.id"}', "no other key"),
        ('{"event_type": {"$.a": "x"}, "entity_id": "$.id"}', "no other key"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused(mapping: str, problem: str, admin_client: Client) -> None:
    page = admin_client.post(reverse(ADD), {"name": "cms", "mapping": mapping, "is_enabled": "on"})
    assert problem in str(page.context["adminform"].form.errors)
    assert not WebhookSource.objects.exists()


def test_secrets_live_through_a_rotation_of_the_secret_key(source: WebhookSource, settings: Any) -> None:
    secret = source.secret
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new" * 20, [settings.SECRET_KEY]
    assert send(source, secret=secret).status_code == 202


@pytest.mark.django_db(transaction=True)
def test_while_celerys_broker_is_down_rest_webhooks_and_saves_go_on(
    source: WebhookSource, broker_down: None, settings: Any
) -> None:
    settings.DEBUG = True
    assert send(source).status_code == 202
    one = {"event_type": "poked", "entity_id": "b1"}
    for body in (one, {"events": [one, one]}):
        assert Client().post("/api/events/", body, content_type="application/json").status_code == 202
    Document.objects.create(index=Index.objects.create(name="docs"), entity_id="a", text="Penguins.")
    assert Event.objects.filter(state="received").count() == 5
