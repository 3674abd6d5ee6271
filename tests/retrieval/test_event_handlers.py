"""Events index and delete documents by themselves, where no feature handles them."""

from typing import Any

import pytest

from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from events.processing import process
from retrieval.models import Document
from retrieval.search.execute import search_plain

pytestmark = pytest.mark.django_db


def happened(event_type: str, entity_id: str, **payload: Any) -> Event:
    row, _ = record_event(AxiomEvent(event_type=event_type, entity_id=entity_id, payload=payload), Event.Source.API)
    process(row.pk)
    row.refresh_from_db()
    return row


def test_doc_updated_indexes_into_the_default_or_the_named_index() -> None:
    assert happened("doc_updated", "a", content="Penguins.", metadata={"k": 1}).state == "done"
    assert happened("doc_updated", "a", content="Gulls.", index="birds").state == "done"
    assert search_plain("knowledge_base", "birds").hits[0].content == "Penguins."
    assert search_plain("birds", "birds").hits[0].content == "Gulls."


def test_an_event_that_says_nothing_of_metadata_takes_none_away() -> None:
    happened("doc_updated", "a", content="Penguins.", metadata={"k": 1})
    happened("doc_updated", "a", content="Gulls.")
    assert Document.objects.get().metadata == {"k": 1}
    happened("doc_updated", "a", content="Gulls.", metadata={})
    assert Document.objects.get().metadata == {}


def test_doc_deleted_deletes_and_a_document_that_is_not_there_is_no_error() -> None:
    happened("doc_updated", "a", content="Penguins.")
    assert happened("doc_deleted", "a").outcomes.get().detail == {"deleted": 1}
    assert search_plain("knowledge_base", "birds").hits == []
    assert happened("doc_deleted", "a").state == "done"


def test_an_event_without_text_is_dead_at_once_and_the_document_stays() -> None:
    happened("doc_updated", "a", content="Penguins.")
    row = happened("doc_updated", "a", text="wrong name")
    assert (row.state, row.attempts) == ("dead", 1)
    assert "payload" in row.error
    assert search_plain("knowledge_base", "birds").hits[0].content == "Penguins."
