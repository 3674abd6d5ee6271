"""`freshness_sla`: what is too far behind is told, or refused, for features and for documents."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.utils import timezone

from common.errors import DefinitionError
from contexts.declaration import context
from contexts.errors import FreshnessViolation
from contexts.items import Context, ContextItem
from contexts.models import Trace
from contexts.store import FeatureStore
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from features.declaration import entity, feature
from features.models import FeatureDefinition
from retrieval.indexing.documents import delete_document, index_document
from retrieval.models import Document

pytestmark = pytest.mark.django_db
store = FeatureStore()


def hours_ago(hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


@pytest.fixture
def assemble() -> Callable[..., Context]:
    """Declare an owl whose weight is computed and whose flights are counted by events; assemble what reads both."""

    @entity(store)
    class Owl:
        owl_id: str

    @feature(entity=Owl, ttl="2d", stale_tolerance="1d", default_value=0)
    def weight(owl_id: str) -> int:
        return 1

    @feature(entity=Owl, trigger="flown", default_value=0)
    def flights(owl_id: str, event: Any) -> int:
        return 1

    index_document("owls", "food", "Owls eat mice.")
    index_document("owls", "sleep", "Owls sleep by day, when mice are awake.")

    def assemble(
        sla: str = "1h",
        names: tuple[str, ...] = ("weight", "flights"),
        after_search: Callable[[], object] = lambda: None,
        **arguments: Any,
    ) -> Context:
        @context(store, name=f"owl {sla} {arguments}", freshness_sla=sla, **arguments)
        async def about(user_id: str, query: str) -> list[ContextItem]:
            await store.get_online_features("Owl", user_id, names)
            hits = await store.search("owls", query)
            await sync_to_async(after_search)()
            return [ContextItem(hit.content) for hit in hits]

        return async_to_sync(about)("hoot", "What do owls eat?")

    return assemble


def told(made: Context) -> list[tuple[str, str, str]]:
    assert made.freshness is not None
    return [(violation["kind"], violation["name"], violation["reason"]) for violation in made.freshness["violations"]]


def happened(event_type: str, entity_id: str, moment: datetime, **payload: Any) -> Event:
    event = AxiomEvent(event_type=event_type, entity_id=entity_id, payload=payload, occurred_at=moment)
    return record_event(event, Event.Source.API)[0]


def test_what_is_fresh_is_said_to_be(assemble: Any) -> None:
    made = assemble()
    assert made.freshness == {"sla_s": 3600.0, "strict": False, "violations": []}
    assert "freshness_violation" not in str(made.evidence["flags"])


def test_without_a_limit_nothing_is_checked() -> None:
    @context(store)
    async def free(query: str) -> list[ContextItem]:
        return []

    assert async_to_sync(free)("x").freshness is None


def test_an_old_feature_is_told_with_its_age(assemble: Any) -> None:
    async_to_sync(store.set_feature)("weight", "hoot", 5, hours_ago(2))
    made = assemble()
    assert told(made) == [("feature", "weight", "fresh")]
    assert made.freshness["violations"][0]["age_s"] == pytest.approx(7200, abs=60)
    assert Trace.objects.get(pk=made.id).flags == ["freshness_violation:weight"]
    assert told(assemble("3h")) == []


def test_a_feature_without_a_value_violates_every_limit(assemble: Any) -> None:
    FeatureDefinition.objects.create(name="weight", entity="Owl", location="here", is_enabled=False)
    assert told(assemble("365d")) == [("feature", "weight", "disabled")]


def test_a_triggered_feature_is_as_old_as_the_event_it_does_not_know(assemble: Any) -> None:
    assert told(assemble()) == []  # no event yet: the default is its value
    async_to_sync(store.set_feature)("flights", "hoot", 5, hours_ago(100))
    assert told(assemble()) == []  # and no event since
    event = happened("flown", "hoot", hours_ago(2))
    happened("flown", "other", hours_ago(3))
    assert told(assemble()) == [("feature", "flights", "its event is not applied")]
    assert told(assemble("3h")) == []
    async_to_sync(store.set_feature)("flights", "hoot", 6, event.occurred_at)
    assert told(assemble()) == []


def test_a_page_that_nobody_edited_for_a_year_is_fresh(assemble: Any) -> None:
    year_ago = timezone.now() - timedelta(days=365)
    Document.objects.update(occurred_at=year_ago, updated_at=year_ago, indexed_at=year_ago)
    assert told(assemble()) == []


@pytest.mark.parametrize(
    ("state", "reason"), [("received", "waits"), ("running", "waits"), ("retrying", "waits"), ("dead", "is dead")]
)
def test_a_document_is_as_old_as_the_event_that_is_not_applied(assemble: Any, state: str, reason: str) -> None:
    Document.objects.update(occurred_at=hours_ago(9))
    happened("doc_updated", "food", hours_ago(2), index="owls", content="Owls eat voles.")
    happened("doc_updated", "sleep", hours_ago(0.5), index="owls", content="Owls never sleep.")
    happened("doc_updated", "food", hours_ago(5), index="hawks", content="Hawks eat owls.")
    happened("doc_updated", "food", hours_ago(10), index="owls", content="Late, and older than what is served.")
    Event.objects.update(state=state)
    made = assemble()
    assert told(made) == [("document", "food", f"its event {reason}")]
    assert made.freshness["violations"][0]["age_s"] == pytest.approx(7200, abs=60)
    assert "freshness_violation:document:food" in made.evidence["flags"]


@pytest.mark.parametrize("state", ["done", "superseded"])
def test_an_event_that_is_through_leaves_nothing_behind(assemble: Any, state: str) -> None:
    Document.objects.update(occurred_at=hours_ago(9))
    happened("doc_updated", "food", hours_ago(2), index="owls", content="x")
    Event.objects.update(state=state)
    assert told(assemble()) == []


@pytest.mark.parametrize(("state", "reason"), [("pending", "its edit waits"), ("failed", "its edit failed")])
def test_an_edit_that_is_not_searchable_makes_a_document_old(assemble: Any, state: str, reason: str) -> None:
    rows = Document.objects.filter(entity_id="food")
    rows.update(state=state, updated_at=hours_ago(2))
    assert told(assemble()) == []  # it says what is served: nothing is missing
    rows.update(text="Owls eat voles.")
    assert told(assemble()) == [("document", "food", reason)]


def test_what_was_replaced_or_deleted_since_the_search_is_told(assemble: Any) -> None:
    def change() -> None:
        index_document("owls", "food", "Owls eat voles.")
        delete_document("owls", "sleep")
        Document.objects.update(indexed_at=hours_ago(2))
        Document.objects.exclude(deleted_at=None).update(deleted_at=hours_ago(2))

    assert sorted(told(assemble(after_search=change))) == [
        ("document", "food", "replaced since it was searched"),
        ("document", "sleep", "deleted since it was searched"),
    ]


def test_strict_refuses_and_leaves_the_reasons_in_the_trace(assemble: Any) -> None:
    Document.objects.update(occurred_at=hours_ago(9))
    happened("doc_updated", "food", hours_ago(2), index="owls", content="x")
    with pytest.raises(FreshnessViolation, match="Older than 1h, or without a value: document food"):
        assemble(freshness_strict=True)
    trace = Trace.objects.get()
    assert (trace.state, trace.error_code) == ("failed", "freshness_violation")
    assert '"reason":"its event waits"' in trace.body.text
    assert assemble("3h", freshness_strict=True).freshness is not None


def test_strict_about_nothing_is_refused() -> None:
    with pytest.raises(DefinitionError, match="freshness_sla"):
        context(store, freshness_strict=True)(lambda query: [])
