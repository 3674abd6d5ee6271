"""Documents after a clock that was ahead was set back: newer changes count, and older ones take nothing back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis
import pytest
from django.db.models import F
from django.utils import timezone
from hypothesis import strategies as st

from events import processing
from events.arrival import times_by_arrival
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from retrieval.errors import DocumentChanged, EmbedderUnavailable
from retrieval.event_handlers import publish_again
from retrieval.indexing.documents import delete_document, index_document
from retrieval.indexing.preconditions import Precondition
from retrieval.indexing.purge import continue_purges, purge_document
from retrieval.models import Document, DocumentVersion

pytestmark = pytest.mark.django_db

INDEX = "knowledge_base"
HOUR = timedelta(hours=1)


def record(event_type: str = "doc_updated", age_s: float = 0, **payload: Any) -> Event:
    moment = timezone.now() - timedelta(seconds=age_s)
    event = AxiomEvent(event_type=event_type, entity_id="a", payload=payload, occurred_at=moment)
    return record_event(event, Event.Source.API)[0]


def process(row: Event) -> str:
    processing.process(row.pk)
    row.refresh_from_db()
    return row.state


def set_clock_back() -> None:
    """Have all that was written until now be of a clock that was an hour ahead."""
    Event.objects.update(occurred_at=F("occurred_at") + HOUR, applied_at=F("applied_at") + HOUR)
    columns = ("occurred_at", "updated_at", "deleted_at", "purged_at", "purge_ended_at")
    Document.objects.update(**{name: F(name) + HOUR for name in columns})
    DocumentVersion.objects.update(created_at=F("created_at") + HOUR)


def served() -> str | None:
    document = Document.objects.live().filter(entity_id="a").first()
    return document.version.text if document and document.version else None


def is_ahead() -> bool:
    ahead = timezone.now() + timedelta(minutes=1)
    return any(model.objects.filter(occurred_at__gt=ahead).exists() for model in (Event, Document))


@pytest.mark.parametrize("is_of_event", [True, False])
@pytest.mark.parametrize("event_type", ["doc_updated", "doc_deleted"])
def test_what_changes_after_the_clock_was_set_back_is_applied(event_type: str, is_of_event: bool) -> None:
    if is_of_event:
        assert process(record(content="Ahead.")) == "done"
    else:
        index_document(INDEX, "a", "Ahead.", occurred_at=timezone.now())
    set_clock_back()
    assert process(record(event_type, content="Now.")) == "done"
    assert served() == ("Now." if event_type == "doc_updated" else None)
    assert not is_ahead()


def test_a_document_that_was_deleted_by_a_clock_ahead_can_be_written() -> None:
    process(record(content="Old."))
    process(record("doc_deleted"))
    set_clock_back()
    assert process(record(content="Now.")) == "done"
    assert served() == "Now."


@pytest.mark.parametrize("is_of_event", [True, False])
def test_a_retry_from_before_takes_back_nothing_that_a_clock_ahead_wrote(is_of_event: bool) -> None:
    older = record(content="Public text.", age_s=60)
    Event.objects.filter(pk=older.pk).update(state="retrying", attempts=1)
    if is_of_event:
        process(record(content="Secret text.", audience=["staff"]))
    else:
        index_document(INDEX, "a", "Secret text.", audience=["staff"])
    Event.objects.exclude(pk=older.pk).update(occurred_at=F("occurred_at") + HOUR)
    Document.objects.update(occurred_at=F("occurred_at") + HOUR)
    assert process(older) == "superseded"
    assert (served(), Document.objects.get().audience) == ("Secret text.", ["staff"])


def test_a_change_of_a_clock_ahead_that_is_retried_takes_nothing_newer_back(embedder: Any) -> None:
    ahead = record(content="Ahead.")
    embedder.failure = EmbedderUnavailable
    process(ahead)
    set_clock_back()
    embedder.failure = None
    newer = record(content="Now.")
    assert process(newer) == "done"
    ahead.refresh_from_db()
    assert ahead.occurred_at <= newer.occurred_at, "also once its own time has come"
    Event.objects.filter(pk=ahead.pk).update(next_attempt_at=timezone.now())
    assert process(ahead) == "superseded"
    assert served() == "Now."


def test_a_change_without_an_audience_keeps_that_of_one_that_failed_ahead(embedder: Any) -> None:
    process(record(content="Public text.", age_s=60))
    restricting = record(content="Secret text.", audience=["staff"])
    embedder.failure = EmbedderUnavailable
    process(restricting)
    Event.objects.filter(pk=restricting.pk).update(occurred_at=F("occurred_at") + HOUR)
    embedder.failure = None
    assert process(record(content="Newer text.")) == "done"
    assert Document.objects.get().audience == ["staff"]


def test_a_document_of_a_clock_ahead_is_indexed_again_deleted_and_conditioned_as_any_other() -> None:
    index_document(INDEX, "a", "Ahead.", occurred_at=timezone.now())
    set_clock_back()
    document = Document.objects.get()
    waiting = record(content="Now.")
    with pytest.raises(DocumentChanged):
        Precondition().check(INDEX, "a", document)
    Event.objects.filter(pk=waiting.pk).delete()
    set_clock_back()
    assert publish_again(Document.objects.get())
    set_clock_back()
    assert delete_document(INDEX, "a", occurred_at=timezone.now())


def test_a_purge_erases_what_a_clock_ahead_said() -> None:
    row = record(content="Secret.")
    process(row)
    set_clock_back()
    purge_document(INDEX, "a")
    row.refresh_from_db()
    assert row.payload == {"erased": True}


@pytest.mark.parametrize("is_swept", [True, False])
def test_a_purge_by_a_clock_ahead_erases_what_comes_late_and_nothing_newer(is_swept: bool) -> None:
    index_document(INDEX, "a", "Secret.")
    purge_document(INDEX, "a")
    set_clock_back()
    if is_swept:
        continue_purges()
    late, newer = record(content="Secret.", age_s=600), record(content="Now.")
    assert (late.state, late.payload) == ("superseded", {"erased": True})
    assert process(newer) == "done"
    continue_purges()
    assert (served(), Event.objects.get(pk=newer.pk).payload) == ("Now.", {"content": "Now."})


def test_an_event_without_a_state_happened_before_the_next_that_came() -> None:
    ahead = record("message_sent")
    set_clock_back()
    following = record("message_sent", age_s=5)
    processing.process(ahead.pk)
    ahead.refresh_from_db()
    assert ahead.occurred_at == following.occurred_at


NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATEST = NOW + timedelta(seconds=10)


@hypothesis.given(seconds=st.lists(st.integers(-20, 40)))
def test_times_that_lie_ahead_become_those_of_their_arrival(seconds: list[int]) -> None:
    moments = [NOW + timedelta(seconds=second) for second in seconds]
    corrected = times_by_arrival(moments, latest=LATEST, now=NOW)
    for index, (before, after) in enumerate(zip(moments, corrected, strict=True)):
        if before <= LATEST:
            assert after == before
            continue
        assert after < before and after <= LATEST
        assert all(after >= earlier for earlier in corrected[:index]), "it is not older than what arrived before"
        following = next((moment for moment in moments[index + 1 :] if moment <= LATEST), None)
        if following and all(following > earlier for earlier in corrected[:index]):
            assert after < following, "it is not newer than what arrived next"
