"""The order of events about one document: the newer state wins, whoever applies it and in whatever order."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event as Signal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from chat.api.bulk.accept import accept_in_bulk
from common.locks import held
from events import processing
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from events.tasks import process_event
from features.declaration import entity, feature
from features.models import FeatureValue
from retrieval.indexing.bulk import Draft, index_in_bulk
from retrieval.indexing.documents import delete_document, index_document
from retrieval.indexing.operations import Write
from retrieval.indexing.purge import purge_document
from retrieval.models import Document
from tests.broker import messages
from tests.retrieval.indexing_feature import declare_indexing_feature

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC)
"""When the tests were collected, minutes ago."""


def record(content: str, age_s: float = 0, event_type: str = "doc_updated", **fields: Any) -> Event:
    event = AxiomEvent(
        event_type=event_type,
        entity_id="a",
        payload={"content": content, **fields},
        occurred_at=NOW - timedelta(seconds=age_s),
    )
    return record_event(event, Event.Source.API)[0]


def process(*rows: Event) -> list[str]:
    for row in rows:
        processing.process(row.pk)
        row.refresh_from_db()
    return [row.state for row in rows]


def text(index: str = "knowledge_base") -> str:
    return Document.objects.get(index__name=index, deleted_at=None).text


@pytest.mark.parametrize("is_declared", [False, True])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_any_order_of_processing_ends_in_the_newest(order: tuple[int, ...], is_declared: bool) -> None:
    if is_declared:
        declare_indexing_feature()
    rows = [record("old", 20), record("middle", 10), record("new")]
    process(*[rows[index] for index in order])
    newest_so_far = [max(order[: n + 1]) == index for n, index in enumerate(order)]
    states = ["done" if is_newest else "superseded" for is_newest in newest_so_far]
    for row in rows:
        row.refresh_from_db()
    assert [rows[index].state for index in order] == states
    assert [rows[index].applied_at is not None for index in order] == newest_so_far
    assert text() == "new"


@pytest.mark.parametrize("is_declared", [False, True])
def test_of_two_at_one_time_the_later_received_wins(is_declared: bool) -> None:
    if is_declared:
        declare_indexing_feature()
    first, second = record("first"), record("second")
    assert process(second, first) == ["done", "superseded"]
    assert text() == "second"


def test_a_deletion_is_a_state_too() -> None:
    update, deletion = record("old", 10), record("", 0, "doc_deleted")
    assert process(deletion, update) == ["done", "superseded"]
    assert not Document.objects.live().exists()


def test_the_same_id_in_two_indexes_is_two_documents() -> None:
    birds, default = record("Gulls.", index="birds"), record("Penguins.", 10)
    assert process(birds, default) == ["done", "done"]
    assert (text("birds"), text()) == ("Gulls.", "Penguins.")


def test_a_triggered_feature_runs_for_a_superseded_event_and_its_value_stays_behind() -> None:
    declare_indexing_feature()
    process(record("new"), record("late", 10))
    assert list(FeatureValue.objects.order_by("event_timestamp").values_list("value", flat=True)) == ["late", "new"]


@pytest.mark.parametrize("event_type", ["doc_updated", "doc_deleted"])
def test_an_event_older_than_what_code_indexed_is_superseded(event_type: str) -> None:
    index_document("knowledge_base", "a", "By code.", occurred_at=NOW)
    row = record("old", 10, event_type)
    assert (process(row), row.applied_at) == (["superseded"], None)
    assert text() == "By code."


def test_a_failed_older_event_that_is_retried_takes_nothing_back() -> None:
    older, newer = record("old", 10), record("new")
    Event.objects.filter(pk=older.pk).update(state="retrying", attempts=1)
    assert process(newer, older) == ["done", "superseded"]
    assert text() == "new"


@pytest.mark.django_db(transaction=True)
def test_a_slow_feature_of_one_event_does_not_keep_the_next_from_being_applied() -> None:
    began, may_end = Signal(), Signal()

    @entity()
    class Page:
        page_id: str

    @feature(entity=Page, trigger="doc_saved")
    def slow(page_id: str, event: AxiomEvent) -> int:
        began.set()
        assert may_end.wait(120)
        return 1

    @feature(entity=Page, trigger="doc_updated")
    def slow_too(page_id: str, event: AxiomEvent) -> int:
        return slow(page_id, event) if event.payload["content"] == "first" else 1

    # A saved row is always indexed by itself, beside the feature.
    saved = {"event_type": "doc_updated", "entity_id": "a"}
    first, _ = record_event(AxiomEvent(payload={"content": "first"}, **saved), Event.Source.SIGNAL)
    second, _ = record_event(AxiomEvent(payload={"content": "second"}, **saved), Event.Source.SIGNAL)

    def work(pk: int) -> None:
        try:
            processing.process(pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as other_worker:
        try:
            slow_one = other_worker.submit(work, first.pk)
            assert began.wait(120)
            first.refresh_from_db()
            assert (first.state, first.applied_at is not None, text()) == ("running", True, "first")
            assert process(second) == ["done"]
            assert text() == "second"
        finally:
            may_end.set()
        slow_one.result(120)
    first.refresh_from_db()
    assert first.state == "done"


@pytest.mark.django_db(transaction=True)
def test_an_event_about_a_document_that_is_being_changed_waits_a_little_longer_each_time() -> None:
    row = record("new")
    sent = len(messages())
    may_end = Signal()

    def hold() -> None:
        try:
            with held(f"state:{row.state_key}") as is_held:
                assert is_held
                held_now.set()
                assert may_end.wait(120)
        finally:
            connection.close()

    held_now = Signal()
    with ThreadPoolExecutor(1) as other_worker:
        holder = other_worker.submit(hold)
        try:
            assert held_now.wait(120)
            process_event(row.pk)
            process_event(row.pk, messages()[-1].kwargs["waited_s"])
            before = timezone.now()
            process_event(row.pk, 100.0)
        finally:
            may_end.set()
        holder.result(120)
    row.refresh_from_db()
    again = messages("state")[sent:]
    assert (row.state, row.attempts) == ("received", 0)
    assert [message.kwargs["waited_s"] for message in again] == [0.05, 0.1, 2.0]
    assert again[2].eta and before < again[2].eta <= timezone.now() + timedelta(seconds=2)
    assert process(row) == ["done"]


DRAFT = Draft(entity_id="a", text="new", audience=["staff"])


def record_ahead(content: str, ahead_s: float, **fields: Any) -> Event:
    """Record what a sender says whose clock is ahead by less than is refused, of the time when the test runs."""
    return record(content, (NOW - datetime.now(UTC)).total_seconds() - ahead_s, **fields)


def save_in_the_admin() -> None:
    document = Document.objects.get()
    document.text, document.audience = DRAFT.text, list(DRAFT.audience)
    document.save()


WRITES: dict[str, Callable[[], object]] = {
    "one": lambda: index_document("knowledge_base", "a", DRAFT.text, audience=DRAFT.audience),
    "in bulk": lambda: list(index_in_bulk("knowledge_base", [[DRAFT]])),
    "accepted": lambda: list(accept_in_bulk("knowledge_base", [Write(number=1, draft=DRAFT)], sender="cms")),
    "saved": save_in_the_admin,
}


def process_all() -> None:
    for pk in Event.objects.due().order_by("pk").values_list("pk", flat=True):
        processing.process(pk)


@pytest.mark.parametrize("is_applied", [False, True])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_beats_what_a_clock_ahead_said_before(write: Callable[[], object], is_applied: bool) -> None:
    """A restriction does not lose to a publication that had arrived, and waits, or was applied."""
    index_document("knowledge_base", "a", "old")
    ahead = record_ahead("published", 180)
    if is_applied:
        process(ahead)
    write()
    process_all()
    found = Document.objects.get()
    assert (found.version and found.version.text, found.audience) == ("new", ["staff"])
    write()
    process(record_ahead("later", 240, audience=[]))
    assert Document.objects.get().audience == [], "what comes later is not older for that"


@pytest.mark.parametrize("write", [delete_document, purge_document])
def test_a_deletion_beats_what_a_clock_ahead_said_before(write: Callable[..., object]) -> None:
    index_document("knowledge_base", "a", "old")
    ahead = record_ahead("published", 180)
    write("knowledge_base", "a")
    assert process(ahead) == ["superseded"] and not Document.objects.live().exists()
    assert Document.objects.get().deleted_at is not None
    ahead.refresh_from_db()
    assert ("content" in ahead.payload) == (write is delete_document)


def test_a_write_that_changes_nothing_is_the_newest_state_all_the_same() -> None:
    index_document("knowledge_base", "a", "secret", audience=["staff"])
    event = record("published", audience=[])
    Event.objects.filter(pk=event.pk).update(occurred_at=timezone.now())
    assert not index_document("knowledge_base", "a", "secret", audience=["staff"]).is_changed
    assert process(event) == ["superseded"]
    assert Document.objects.get().audience == ["staff"]
