"""The pages of events: the way of one through the system, how all of them flow, and dead ones edited and requeued."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from common.admin.charts import Series, bar_chart, line_chart
from events.admin.event_page import steps_of
from events.dead_letters import edit_payload, requeue
from events.event import AxiomEvent
from events.models import Event, EventEdit
from events.outbox import record_event, record_events
from events.processing import process
from events.statistics import RANGES, flow_of
from tests.factories import EventFactory

pytestmark = pytest.mark.django_db

LIST, PAGE, FLOW = "admin:events_event_changelist", "admin:events_event_change", "admin:events_event_flow"
NOW = datetime(2026, 5, 6, 12, 0, 30, tzinfo=UTC)


def record(**fields: Any) -> Event:
    event = {"event_type": "doc_updated", "entity_id": "a", "payload": {"content": "Penguins."}, **fields}
    return record_event(AxiomEvent(**event), Event.Source.API)[0]


def dead(**fields: Any) -> Event:
    row = record(**{"payload": {"text": "wrong name"}, **fields})
    process(row.pk)
    row.refresh_from_db()
    assert row.state == "dead"
    return row


def test_the_timeline_tells_each_step_in_its_order(admin_client: Client) -> None:
    row = record()
    process(row.pk)
    row.refresh_from_db()
    names = [step.name for step in steps_of(row, list(row.outcomes.all()))]
    assert names == ["received", "queued", "started", "reindex", "indexed", "searchable", "done"]
    page = admin_client.get(reverse(PAGE, args=[row.pk])).content.decode()
    assert "Timeline" in page
    version = row.outcomes.get().detail["changed"][0]
    assert version["text"] == "a v1"
    assert reverse("admin:retrieval_documentversion_change", args=[version["pk"]]) in page


def test_an_event_of_the_stream_begins_with_its_publication() -> None:
    moment = datetime.now(UTC) - timedelta(seconds=3)
    event = AxiomEvent(event_type="poked", entity_id="b")
    [(row, _)] = record_events([event], Event.Source.STREAM, published_at=[moment])  # type: ignore[misc]
    steps = steps_of(row, [])
    assert [step.name for step in steps] == ["published", "received", "queued"]
    assert steps[0].at == moment


def test_an_edited_payload_is_kept_beside_the_original(admin_client: Client, admin_user: User) -> None:
    row = dead()
    data = {"payload": '{"content": "Gulls.", "index": "birds"}', "_requeue": "1"}
    data |= {"outcomes-TOTAL_FORMS": "0", "outcomes-INITIAL_FORMS": "0"}
    assert admin_client.post(reverse(PAGE, args=[row.pk]), data).status_code == 302
    edit = EventEdit.objects.get()
    assert (edit.before, edit.after["content"], edit.edited_by) == ({"text": "wrong name"}, "Gulls.", "admin")
    row.refresh_from_db()
    assert (row.state, row.state_key) == ("received", "doc_5:birds:a")
    process(row.pk)
    page = admin_client.get(reverse(PAGE, args=[row.pk])).content.decode()
    assert "Edits of the payload" in page
    assert "wrong name" in page


def test_a_senders_repetition_of_an_edited_event_is_known() -> None:
    row = dead(id="e1")
    edit_payload(row, {"content": "Gulls."}, "anna")
    assert record(id="e1", payload={"text": "wrong name"}) == row
    assert Event.objects.count() == 1


def test_a_living_event_is_not_edited() -> None:
    row = record()
    assert not edit_payload(row, {"content": "Gulls."}, "anna")
    row.refresh_from_db()
    assert row.payload == {"content": "Penguins."}


def test_dead_events_are_requeued_in_bulk(admin_client: Client) -> None:
    rows = [dead(entity_id=str(number)) for number in range(3)]
    action = {"action": "requeue_events", "_selected_action": [row.pk for row in rows[:2]]}
    page = admin_client.post(reverse(LIST), action, follow=True).content.decode()
    assert "2 back in the queue." in page
    assert list(Event.objects.order_by("pk").values_list("state", flat=True)) == ["received", "received", "dead"]


def unreadable_entry(entry_id: str, **fields: str) -> Event:
    from events.bus import dead_letter

    dead_letter(entry_id, fields, "payload is no JSON.")
    return Event.objects.get(event_id=f"stream:{entry_id}")


def test_a_stream_entry_that_was_no_event_becomes_one_when_it_is_put_right() -> None:
    row = unreadable_entry("1767225600000-0", event_type="doc_updated", entity_id="a", payload="{", id="e7")
    assert requeue(Event.objects.filter(pk=row.pk)) == 0  # it still is none
    fields = {**row.payload["stream_fields"], "payload": '{"content": "Penguins."}'}
    assert edit_payload(row, {"stream_fields": fields}, "anna")
    assert requeue(Event.objects.filter(pk=row.pk)) == 1
    process(row.pk)
    row.refresh_from_db()
    assert (row.state, row.event_id, row.payload) == ("done", "e7", {"content": "Penguins."})
    assert row.occurred_at == datetime(2026, 1, 1, tzinfo=UTC)


def fill(count: int, *, at: datetime, lag_ms: int | None = None, **fields: Any) -> None:
    applied_at = at + timedelta(milliseconds=lag_ms) if lag_ms is not None else None
    Event.objects.bulk_create(
        EventFactory.build(occurred_at=at, received_at=at, applied_at=applied_at, **fields)
        for number in range(count)
    )  # fmt: skip


def test_the_flow_is_counted_in_steps() -> None:
    early, late = NOW - timedelta(minutes=50), NOW - timedelta(minutes=1)
    fill(3, at=early, lag_ms=100, state="done", attempts=1)
    fill(1, at=early, lag_ms=900, state="done", attempts=3)
    fill(2, at=late, state="dead", attempts=6)
    fill(1, at=late, state="retrying", attempts=2)
    fill(5, at=NOW - timedelta(minutes=70), state="done")
    whole, steps = flow_of(RANGES["1h"], NOW)
    assert len(steps) == 60
    assert (whole.done, whole.dead, whole.waiting, whole.retries, whole.total) == (4, 2, 1, 13, 7)
    assert whole.lag_p50_s == steps[9].lag_p50_s == pytest.approx(0.1)
    assert 0.1 < (steps[9].lag_p95_s or 0) < 0.9
    busy = [(step.since, step.total) for step in steps if step.total]
    assert busy == [(early.replace(second=0), 4), (late.replace(second=0), 3)]


@pytest.mark.parametrize("span", [*RANGES, "nonsense", ""])
def test_the_flow_is_drawn_for_every_range(span: str, admin_client: Client) -> None:
    fill(3, at=datetime.now(UTC) - timedelta(seconds=20), lag_ms=80, state="done", attempts=1)
    page = admin_client.get(reverse(FLOW), {"range": span}).content.decode()
    assert page.count("<svg") == 3
    assert "80 ms" in page
    assert "nan" not in page.lower().split("<svg", 1)[1].split("</svg>")[0]


def test_the_flow_is_drawn_without_events_and_for_the_staff_only(admin_client: Client, client: Client) -> None:
    assert admin_client.get(reverse(FLOW)).status_code == 200
    assert client.get(reverse(FLOW)).status_code == 302


def test_a_chart_escapes_what_it_is_given() -> None:
    hostile = "<script>"
    series = [Series(name=hostile, tone="info", values=[1, None, 2])]
    for chart in (bar_chart, line_chart):
        assert hostile not in chart(["a", hostile, "c"], series, str)
