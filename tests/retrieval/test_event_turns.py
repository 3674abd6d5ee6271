"""Many events about one document: the newest is applied first, and what it makes needless costs next to nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from events import processing
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from features.models import FeatureValue
from retrieval.errors import EmbedderUnavailable
from retrieval.indexing.documents import index_document
from retrieval.models import Document
from tests.retrieval.indexing_feature import declare_indexing_feature

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def embedded(embedder: Any) -> list[str]:
    """Return the texts that are embedded during the test."""
    texts: list[str] = embedder.embedded
    return texts


def record(content: str, age_s: int = 0, event_type: str = "doc_updated", **fields: Any) -> Event:
    event = AxiomEvent(
        event_type=event_type,
        entity_id="a",
        payload={"content": content, **fields},
        occurred_at=NOW - timedelta(seconds=age_s),
    )
    return record_event(event, Event.Source.API)[0]


def take_turns(*rows: Event) -> list[str]:
    for row in rows:
        processing.process_newest(row.pk)
    for row in rows:
        row.refresh_from_db()
    return [row.state for row in rows]


def text() -> str:
    return Document.objects.live().get().text


def test_the_first_turn_is_the_newests_and_ends_those_that_it_passed_over(embedded: list[str]) -> None:
    rows = [record(f"text {age}", age) for age in range(9, -1, -1)]
    processing.process_newest(rows[0].pk)
    for row in rows:
        row.refresh_from_db()
    assert [row.state for row in rows] == ["superseded"] * 9 + ["done"]
    assert [row.applied_at is not None for row in rows] == [False] * 9 + [True]
    assert all(row.finished_at for row in rows)
    assert (text(), len(embedded)) == ("text 0", 1)
    assert take_turns(*rows) == ["superseded"] * 9 + ["done"]
    assert len(embedded) == 1


def test_an_event_of_another_document_is_not_touched() -> None:
    other, _ = record_event(
        AxiomEvent(event_type="doc_updated", entity_id="b", payload={"content": "B."}), Event.Source.API
    )
    assert take_turns(record("old", 10), record("new")) == ["superseded", "done"]
    other.refresh_from_db()
    assert other.state == "received"


def test_a_triggered_feature_runs_for_each_event_in_as_many_turns() -> None:
    declare_indexing_feature()

    rows = [record(f"text {age}", age) for age in range(3, -1, -1)]
    assert take_turns(*rows) == ["superseded"] * 3 + ["done"]
    values = FeatureValue.objects.order_by("event_timestamp").values_list("value", flat=True)
    assert (text(), list(values)) == ("text 0", ["text 3", "text 2", "text 1", "text 0"])


def test_what_an_older_event_says_and_the_newest_does_not_is_not_lost() -> None:
    rows = record("old", 20, metadata={"by": "ann"}), record("newer", 10), record("newest")
    assert take_turns(*rows) == ["done", "superseded", "done"]
    document = Document.objects.get()
    assert (document.text, document.metadata) == ("newest", {"by": "ann"})


def test_an_update_does_not_pass_over_a_deletion() -> None:
    index_document("knowledge_base", "a", "Before.", {"by": "ann"}, occurred_at=NOW - timedelta(hours=1))
    rows = record("old", 30), record("older", 20), record("", 10, "doc_deleted"), record("new")
    assert take_turns(*rows) == ["superseded", "done", "done", "done"]
    assert (text(), Document.objects.live().get().metadata) == ("new", {})


def test_where_the_newest_cannot_be_applied_the_one_before_it_is() -> None:
    assert take_turns(record("old", 20), record("older", 10), record("")) == ["superseded", "done", "dead"]
    assert text() == "older"


def test_an_earlier_failure_of_an_event_that_is_superseded_is_no_failure(embedder: Any) -> None:
    older = record("old", 10)
    embedder.failure = EmbedderUnavailable
    assert take_turns(older) == ["retrying"]
    embedder.mend()
    assert take_turns(record("new")) == ["done"]
    Event.objects.filter(pk=older.pk).update(next_attempt_at=NOW)
    assert take_turns(older) == ["superseded"]
    assert text() == "new"
