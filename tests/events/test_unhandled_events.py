"""Events that no handler takes: kept and accepted, and shown as what they are."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from common.admin.html import badge
from common.retention import prune_kind
from events import processing
from events.admin.event_flow import flow_page
from events.dead_letters import requeue
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from events.retention import EVENTS
from events.statistics import RANGES, flow_of
from features.declaration import entity, feature

pytestmark = pytest.mark.django_db

URL = "/api/events/"


def happened(event_type: str, **fields: Any) -> Event:
    row, _ = record_event(AxiomEvent(event_type=event_type, entity_id="e1", **fields), Event.Source.API)
    return process(row)


def process(row: Event) -> Event:
    processing.process(row.pk)
    row.refresh_from_db()
    return row


def test_an_event_that_no_handler_takes_is_unhandled_and_not_tried_again() -> None:
    for event_type in ("invoice_payed", "doc_update"):  # a type of no family, and one of a family, mistyped
        row = happened(event_type)
        assert (row.state, row.attempts, row.error, row.applied_at) == ("unhandled", 1, "", None)
        assert row.finished_at is not None
    assert not Event.objects.due().exists() and processing.process(row.pk) is None


def test_the_sender_is_told_and_it_is_no_error(admin_client: Client) -> None:
    body = {"event_type": "invoice_payed", "entity_id": "e1", "id": "i1"}
    response = admin_client.post(URL, body, content_type="application/json")
    assert response.status_code == 202
    assert response.json()["notice"].startswith("No handler takes 'invoice_payed'")
    process(Event.objects.get())
    shown = admin_client.get(f"{URL}i1/").json()
    assert (shown["state"], shown["handlers"]) == ("unhandled", []) and "invoice_payed" in shown["notice"]
    body = {"event_type": "doc_deleted", "entity_id": "e1"}
    assert admin_client.post(URL, body, content_type="application/json").json()["notice"] == ""


def test_once_there_is_a_handler_it_can_be_processed_again() -> None:
    row = happened("invoice_payed")

    @entity()
    class Invoice:
        invoice_id: str

    @feature(entity=Invoice, trigger="invoice_payed")
    def is_paid(invoice_id: str, event: AxiomEvent) -> bool:
        return True

    assert requeue(Event.objects.filter(pk=row.pk)) == 1
    assert process(row).state == "done"


def test_it_is_seen_in_the_admin_in_the_statistics_and_in_the_terminal(admin_client: Client, capsys: Any) -> None:
    happened("invoice_payed")
    happened("doc_deleted")
    changelist = reverse("admin:events_event_changelist")
    answer = admin_client.get(changelist, {"state__exact": "unhandled"})
    assert [row.event_type for row in answer.context_data["cl"].result_list] == ["invoice_payed"]
    assert str(badge("unhandled")) in answer.content.decode() and "fb-warn" in badge("unhandled")
    whole, steps = flow_of(RANGES["1h"])
    assert (whole.unhandled, whole.done, whole.total) == (1, 1, 2) and sum(step.unhandled for step in steps) == 1
    figure = next(figure for figure in flow_page(RANGES["1h"])["figures"] if figure["name"] == "unhandled")
    assert figure["value"] == "1"
    page = admin_client.get(reverse("admin:events_event_flow")).content.decode()
    assert "unhandled" in page and page.count("<svg") == 3
    event_page = reverse("admin:events_event_change", args=[Event.objects.get(state="unhandled").pk])
    assert "unhandled" in admin_client.get(event_page).content.decode()
    call_command("events", "tail", "--no-follow", "--state", "unhandled")
    assert "unhandled   invoice_payed" in capsys.readouterr().out


def test_it_does_not_count_as_a_state_that_waits_and_is_pruned_as_others_are() -> None:
    row = happened("doc_viewed", occurred_at=timezone.now() - timedelta(minutes=5))
    later = happened("doc_updated", payload={"content": "Penguins."})
    assert later.state == "done" and not Event.objects.all().unapplied().exists()
    Event.objects.filter(pk=row.pk).update(received_at=timezone.now() - timedelta(days=60))
    assert prune_kind(EVENTS) == (1, True)
