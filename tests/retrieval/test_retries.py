"""A retry replays what failed, whole and with its own time; nobody finds a document who may not."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis
import pytest
from django.db.models import F
from django.utils import timezone
from hypothesis import strategies as st

from events import processing
from events.dead_letters import requeue
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from retrieval.errors import EmbedderUnavailable
from retrieval.event_handlers import publish_again
from retrieval.indexing.documents import index_document
from retrieval.models import Chunk, Document
from retrieval.reindex import retry_failed
from retrieval.search.execute import search_sync
from tests.embedders import WorkerDied
from tests.retrieval.indexing_feature import declare_indexing_feature

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC)
INDEX = "knowledge_base"
UNSAID: dict[str, Any] = {"audience": [], "metadata": {}}


def record(age_s: float = 0, event_type: str = "doc_updated", entity_id: str = "a", **payload: Any) -> Event:
    event = AxiomEvent(
        event_type=event_type, entity_id=entity_id, payload=payload, occurred_at=NOW - timedelta(seconds=age_s)
    )
    return record_event(event, Event.Source.API)[0]


def process(*rows: Event) -> list[str]:
    for row in rows:
        processing.process_newest(row.pk)
    for row in rows:
        row.refresh_from_db()
    return [row.state for row in rows]


def give_up(row: Event, embedder: Any) -> None:
    """Process the event without an embedder until it is dead."""
    embedder.failure = EmbedderUnavailable
    while process(row) != ["dead"]:
        Event.objects.filter(pk=row.pk).update(next_attempt_at=timezone.now())
    embedder.failure = None


def retry() -> int:
    """Have the hour pass after which failed documents are tried again, and work off what that queues."""
    Document.objects.filter(state="failed").exclude(retry_at=None).update(retry_at=timezone.now())
    count = retry_failed()
    for row in Event.objects.due():
        process(row)
    return count


def found(audience: tuple[str, ...] = ()) -> list[str]:
    return [hit.content for hit in search_sync(INDEX, "text", 10, audience=audience).hits]


@pytest.fixture(autouse=True)
def an_index(embedder: Any) -> None:
    index_document(INDEX, "other", "Another document.", occurred_at=NOW - timedelta(days=1))


def test_a_retry_publishes_a_new_document_to_its_own_audience(embedder: Any) -> None:
    row = record(content="Secret text.", audience=["staff"], title="T", metadata={"k": 1})
    give_up(row, embedder)
    shown = Document.objects.get(entity_id="a")
    assert (shown.state, shown.text, shown.audience) == ("failed", "Secret text.", ["staff"])
    assert "Secret text." not in found(("staff",))
    assert retry() == 1
    assert "Secret text." not in found()
    assert "Secret text." in found(("staff",))
    document = Document.objects.get(entity_id="a")
    row.refresh_from_db()
    assert (document.state, document.title, document.metadata, document.occurred_at, row.state) == (
        "indexed", "T", {"k": 1}, row.occurred_at, "done",
    )  # fmt: skip


def test_a_retry_publishes_the_new_text_of_a_known_document_not_the_old(embedder: Any) -> None:
    process(record(20, content="Old text."))
    give_up(record(10, content="New text.", audience=["staff"]), embedder)
    assert "Old text." in found()
    retry()
    document = Document.objects.get(entity_id="a")
    assert (document.text, document.audience, document.failed_event, document.retry_at) == (
        "New text.", ["staff"], None, None,
    )  # fmt: skip


def test_a_retry_takes_nothing_newer_back(embedder: Any) -> None:
    older = record(20, content="Old text.", audience=["staff"])
    give_up(older, embedder)
    process(record(10, content="New text.", audience=["partners"]))
    assert retry() == 0
    requeue(Event.objects.filter(pk=older.pk))
    assert process(older) == ["superseded"]
    document = Document.objects.get(entity_id="a")
    assert (document.text, document.audience, document.state) == ("New text.", ["partners"], "indexed")


def test_a_failure_that_is_older_than_the_document_is_not_its_own(embedder: Any) -> None:
    older = record(20, content="Old text.")
    index_document(INDEX, "a", "New text.", occurred_at=NOW)
    give_up(older, embedder)
    assert Document.objects.get(entity_id="a").state == "indexed"


def test_an_older_change_that_succeeds_leaves_the_newer_failure_to_be_retried(embedder: Any) -> None:
    older, newer = record(20, content="Old text."), record(10, content="New text.", audience=["staff"])
    Event.objects.filter(pk=older.pk).update(next_attempt_at=timezone.now() + timedelta(hours=1))
    give_up(newer, embedder)
    Event.objects.filter(pk=older.pk).update(next_attempt_at=timezone.now())
    assert process(older) == ["done"]
    assert (Document.objects.get(entity_id="a").state, "Old text." in found()) == ("failed", True)
    retry()
    assert "New text." in found(("staff",)) and "New text." not in found()


def test_a_change_without_an_audience_keeps_that_of_one_that_failed(embedder: Any) -> None:
    process(record(30, content="Public text."))
    give_up(record(20, content="Secret text.", audience=["staff"]), embedder)
    assert process(record(10, content="Newer text.")) == ["done"]
    assert "Newer text." not in found()
    assert "Newer text." in found(("staff",))


def test_a_change_without_an_audience_after_one_whose_audience_was_refused_is_refused() -> None:
    assert process(record(20, content="Secret text.", audience="staff")) == ["dead"]
    later = record(10, content="Newer text.")
    assert process(later) == ["dead"]
    assert "audience is not known" in later.error
    assert process(record(content="Newest text.", audience=[])) == ["done"]


def test_a_refused_event_makes_no_row_that_somebody_could_publish() -> None:
    assert process(record(content="Secret text.", audience="staff")) == ["dead"]
    assert not Document.objects.filter(entity_id="a").exists()


def test_reindexing_takes_nothing_back_that_is_on_its_way() -> None:
    process(record(20, content="Old text."))
    waiting = record(10, content="New text.", audience=["staff"])
    document = Document.objects.get(entity_id="a")
    assert publish_again(document)
    again = Event.objects.latest("pk")
    assert (again.payload["content"], again.occurred_at) == ("Old text.", document.occurred_at)
    process(again, waiting)
    assert (Document.objects.get(entity_id="a").text, found()) == ("New text.", ["Another document."])


def test_reindexing_a_failed_document_replays_its_change(embedder: Any) -> None:
    row = record(content="Secret text.", audience=["staff"])
    give_up(row, embedder)
    assert publish_again(Document.objects.get(entity_id="a"))
    assert process(row) == ["done"]
    assert Event.objects.count() == 1
    assert "Secret text." not in found()


def test_a_change_that_is_wrong_in_itself_does_not_keep_the_document_from_being_reindexed() -> None:
    process(record(20, content="Served text."))
    assert process(record(10, content="", metadata={"k": 1})) == ["dead"]
    document = Document.objects.get(entity_id="a")
    assert (document.state, document.failed_event, document.retry_at) == ("failed", None, None)
    assert publish_again(document)
    assert process(Event.objects.latest("pk")) == ["done"]
    document.refresh_from_db()
    assert (document.state, document.text) == ("indexed", "Served text.")


def test_a_change_that_is_wrong_in_itself_leaves_an_earlier_failure_to_be_retried(embedder: Any) -> None:
    give_up(record(20, content="Secret text.", audience=["staff"]), embedder)
    assert process(record(10, content="")) == ["dead"]
    retry()
    assert "Secret text." in found(("staff",)) and "Secret text." not in found()


def test_a_feature_that_indexes_without_an_audience_keeps_the_events() -> None:
    declare_indexing_feature()

    rows = record(10, content="Secret text.", audience=["staff"]), record(content="Newer text.")
    assert process(*rows) == ["done", "done"]
    assert "Newer text." not in found()
    assert "Newer text." in found(("staff",))


UPDATE = st.fixed_dictionaries(
    {},
    optional={
        "audience": st.sampled_from([[], ["staff"], ["partners"]]),
        "metadata": st.sampled_from([{}, {"k": 1}, {"title": "T"}]),
    },
)
CHANGE = (
    st.tuples(st.sampled_from(["update", "update, applied", "update, failed", "update, worker died"]), UPDATE),
    st.tuples(st.just("delete"), st.none()),
)
WORK = st.tuples(st.sampled_from(["outage", "recover", "later", "sweep"]), st.none())
STEPS = st.lists(
    st.one_of(
        *CHANGE, st.tuples(st.sampled_from(["process", "requeue", "die", "set clock back"]), st.integers(0, 7)), WORK
    ),
    min_size=3,
    max_size=20,
)
LATE_STEPS = st.lists(
    st.one_of(
        *CHANGE,
        st.tuples(st.just("hold update"), UPDATE),
        st.tuples(st.just("hold delete"), st.none()),
        st.tuples(st.sampled_from(["arrive", "arrive", "process", "requeue", "die"]), st.integers(0, 7)),
        WORK,
    ),
    min_size=3,
    max_size=20,
)
"""Redelivered webhooks: a change is held back on its way, and what happened later arrives before it."""


FATES: dict[str, type[BaseException] | None] = {
    "update, applied": None,
    "update, failed": EmbedderUnavailable,
    "update, worker died": WorkerDied,
}


@dataclass(frozen=True, order=True)
class Change:
    """What was said of the document at a time."""

    occurred_at: datetime
    event_type: str = field(compare=False)
    payload: dict[str, Any] = field(compare=False)


class Story:
    """One document's events, and workers that come to them in any order."""

    numbers = itertools.count()

    def __init__(self, embedder: Any) -> None:
        self.embedder = embedder
        self.entity_id = f"story-{next(self.numbers)}"
        self.rows: list[Event] = []
        self.arrived: list[Change] = []
        self.held: list[Change] = []

    def fields(self) -> dict[str, dict[str, Any]]:
        """Return each text's audience and metadata: what its event says, or what it leaves as it was."""
        found, known = {}, UNSAID
        for change in sorted(self.arrived):
            said = {name: value for name, value in change.payload.items() if name in UNSAID}
            known = known | said if change.event_type == "doc_updated" else UNSAID
            if "content" in change.payload:
                found[change.payload["content"]] = known
        return found

    @property
    def last(self) -> str | None:
        """The text of the newest state that is known of; None if it is deleted."""
        text: str | None = max(self.arrived).payload.get("content") if self.arrived else None
        return text

    def step(self, kind: str, value: Any) -> None:
        if "update" in kind or "delete" in kind:
            text = f"text {len(self.arrived) + len(self.held)}"
            is_update = "update" in kind
            payload = {"content": text, **value} if is_update else {}
            change = Change(timezone.now(), "doc_updated" if is_update else "doc_deleted", payload)
            if kind.startswith("hold"):
                self.held.append(change)
            else:
                self.publish(change)
            if kind in FATES:
                self.work(self.rows[-1], FATES[kind])
        elif kind == "arrive":
            self.arrive(value)
        elif kind in ("outage", "recover"):
            self.embedder.failure = EmbedderUnavailable if kind == "outage" else None
        elif kind == "later":
            self.pass_time()
        elif kind == "sweep":
            retry_failed()
        elif kind == "set clock back":
            self.set_clock_back(value)
        elif self.rows:
            row = self.rows[value % len(self.rows)]
            if kind == "requeue":
                requeue(Event.objects.filter(pk=row.pk))
            else:
                self.work(row, WorkerDied if kind == "die" else self.embedder.failure)

    def publish(self, change: Change) -> None:
        self.arrived.append(change)
        age_s = (NOW - change.occurred_at).total_seconds()
        self.rows.append(record(age_s, change.event_type, self.entity_id, **change.payload))

    def arrive(self, number: int) -> None:
        """Publish a change that was held back, and work until a worker has come to it."""
        if self.held:
            self.publish(self.held.pop(number % len(self.held)))
            row = self.rows[-1]
            while row.state == "received":
                self.work(row, self.embedder.failure)
                row.refresh_from_db()

    def set_clock_back(self, count: int) -> None:
        """Have the last events, and what was made of them, be of a clock that was an hour ahead until now."""
        rows = Event.objects.filter(pk__in=[row.pk for row in self.rows[-count:]])
        times = list(rows.values_list("occurred_at", flat=True))
        for name in ("occurred_at", "audience_at", "metadata_at"):
            documents = Document.objects.filter(entity_id=self.entity_id, **{f"{name}__in": times})
            documents.update(**{name: F(name) + timedelta(hours=1)})
        rows.update(occurred_at=F("occurred_at") + timedelta(hours=1))

    def work(self, row: Event, failure: type[BaseException] | None = None) -> None:
        before, self.embedder.failure = self.embedder.failure, failure
        try:
            processing.process_newest(row.pk)
        except WorkerDied:
            pass
        finally:
            self.embedder.failure = before

    def pass_time(self) -> None:
        """Bring about what an hour does: waiting events are due, what a dead worker had taken is given back."""
        Event.objects.filter(state="running").update(started_at=timezone.now() - timedelta(hours=1))
        Event.objects.release_abandoned()
        Event.objects.exclude(state="running").update(next_attempt_at=timezone.now())
        Document.objects.filter(state="failed").exclude(retry_at=None).update(retry_at=timezone.now())

    def tell(self, steps: Sequence[tuple[str, Any]]) -> None:
        """Check after each step that nobody finds the document who may not, and at the end what is found."""
        self.embedder.failure = None
        for kind, value in steps:
            self.step(kind, value)
            self.check()
        self.finish()
        self.check_end()

    def finish(self) -> None:
        self.embedder.failure = None
        while self.held:
            self.arrive(0)
        for _ in range(len(self.rows) + 2):
            self.pass_time()
            retry_failed()
            for row in self.rows:
                self.work(row)

    def check(self) -> None:
        fields = self.fields()
        for chunk in Chunk.objects.filter(document__entity_id=self.entity_id):
            assert chunk.audience == fields[chunk.text]["audience"]
        for document in Document.objects.filter(entity_id=self.entity_id, deleted_at=None):
            assert document.audience == fields[document.text]["audience"], "what the admin would publish"
        hits = search_sync(INDEX, "text", 10).hits
        assert all(not fields[hit.content]["audience"] for hit in hits if hit.document_id == self.entity_id)

    def check_end(self) -> None:
        """Check that the newest state is served, with its own fields."""
        self.check()
        chunks = Chunk.objects.filter(document__entity_id=self.entity_id)
        served = list(chunks.values_list("text", "audience", "metadata", "document__title"))
        if self.last is None:
            assert served == []
        else:
            known = self.fields()[self.last]
            title = known["metadata"].get("title", self.entity_id)
            assert served == [(self.last, known["audience"], known["metadata"], title)]
        live = Document.objects.filter(entity_id=self.entity_id, deleted_at=None)
        assert not live.exclude(state="indexed").exists()


# Each example has a document of its own, and says itself whether the embedder is there.
@hypothesis.settings(max_examples=30, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(steps=STEPS)
# What a deletion has overwritten says nothing of the audience, though its worker died before it could be applied.
@hypothesis.example(
    steps=[
        ("update, worker died", {"audience": ["partners"]}), ("delete", None), ("process", 1), ("update, failed", {}),
    ]
)  # fmt: skip
# What a clock that was ahead has dated alike stays in the order of its arrival: the deletion is of the state before.
@hypothesis.example(
    steps=[
        ("update", {}), ("update, applied", {}), *[("delete", None)] * 4, ("process", 0), ("delete", None),
        ("update", {"audience": ["partners"]}), ("set clock back", 4), ("update, applied", {}),
    ]
)  # fmt: skip
@hypothesis.example(
    steps=[("delete", None), ("update, applied", {"audience": ["staff"]}), ("set clock back", 0)]
)  # fmt: skip
def test_any_interleaving_ends_in_the_newest_state_with_its_own_audience(steps: list[Any], embedder: Any) -> None:
    Story(embedder).tell(steps)


@hypothesis.settings(max_examples=60, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(steps=LATE_STEPS)
@hypothesis.example(steps=[("hold update", {"audience": ["staff"]}), ("update, applied", {}), ("arrive", 0)])
@hypothesis.example(
    steps=[
        ("hold update", {"audience": ["staff"]}), ("hold delete", None), ("update, applied", {}), ("arrive", 0),
        ("arrive", 0),
    ]
)  # fmt: skip
@hypothesis.example(
    steps=[("hold update", {"audience": ["staff"]}), ("update, failed", {}), ("outage", None), ("arrive", 0)]
)
def test_any_order_of_arrival_ends_in_the_newest_state_with_what_earlier_changes_say(
    steps: list[Any], embedder: Any
) -> None:
    Story(embedder).tell(steps)


def test_a_restricting_change_that_arrives_late_restricts_what_came_before_it() -> None:
    assert process(record(10, content="Secret v2.")) == ["done"]
    late = record(15, content="Secret v1.", audience=["staff"], metadata={"k": 1})
    assert process(late) == ["superseded"]
    document = Document.objects.get(entity_id="a")
    assert (document.text, document.audience, document.metadata) == ("Secret v2.", ["staff"], {"k": 1})
    assert late.outcomes.get().detail["kept"] == ["audience", "metadata"]
    assert "Secret v2." not in found() and "Secret v2." in found(("staff",))
    assert process(record(content="Secret v3.")) == ["done"]
    assert "Secret v3." not in found() and "Secret v3." in found(("staff",))


def test_a_late_audience_takes_effect_without_the_embedder(embedder: Any) -> None:
    process(record(10, content="Secret v2."))
    embedder.failure = EmbedderUnavailable
    assert process(record(15, content="Secret v1.", audience=["staff"])) == ["superseded"]
    embedder.failure = None
    assert "Secret v2." not in found() and "Secret v2." in found(("staff",))


def test_a_late_change_brings_nothing_that_a_later_one_says() -> None:
    process(record(10, content="Public v2.", audience=[]), record(5, content="Public v3."))
    assert process(record(15, content="Secret v1.", audience=["staff"])) == ["superseded"]
    assert "Public v3." in found()
    index_document(INDEX, "a", "Public v4.", occurred_at=NOW)
    assert process(record(2, content="Secret.", audience=["staff"])) == ["superseded"]
    assert "Public v4." in found()


@pytest.mark.parametrize("first_come", [0, 1])
def test_of_two_late_changes_of_one_time_the_one_that_came_later_counts(first_come: int) -> None:
    process(record(10, content="Secret v2."))
    rows = [record(15, content=name, audience=[name]) for name in ("partners", "staff")]
    process(rows[first_come], rows[1 - first_come])
    assert Document.objects.get(entity_id="a").audience == ["staff"]


def test_a_change_that_waits_restricts_a_newer_one_also_if_it_is_older_than_what_is_served() -> None:
    process(record(10, content="Secret v2."))
    waiting = record(15, content="Secret v1.", audience=["staff"])
    assert process(record(content="Secret v3.")) == ["done"]
    assert "Secret v3." not in found()
    assert process(waiting) == ["superseded"]
    assert "Secret v3." in found(("staff",))


def test_a_restricting_change_that_arrives_during_a_newer_one_is_not_ended_unread(embedder: Any) -> None:
    newer = record(10, content="Secret v2.")
    late: list[Event] = []
    embedder.meanwhile = lambda: late.append(record(15, content="Secret v1.", audience=["staff"]))
    assert process(newer) == ["done"]
    embedder.meanwhile = None
    assert process(*late) == ["superseded"]
    assert "Secret v2." not in found() and "Secret v2." in found(("staff",))


def test_a_late_change_restricts_what_a_feature_indexes() -> None:
    declare_indexing_feature()

    process(record(10, content="Secret v2."), record(15, content="Secret v1.", audience=["staff"]))
    assert "Secret v2." not in found() and "Secret v2." in found(("staff",))


def test_reindexing_says_nothing_of_the_audience_that_the_document_keeps() -> None:
    process(record(10, content="Secret v2."))
    publish_again(Document.objects.get(entity_id="a"))
    process(Event.objects.latest("pk"), record(15, content="Secret v1.", audience=["staff"]))
    assert "Secret v2." not in found() and "Secret v2." in found(("staff",))
