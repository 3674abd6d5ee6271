"""The sample comes once, into an empty database, and goes with all that it brought."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from chat.models import Customer, SampleState, Ticket
from features.models import FeatureValue, KnownEntity
from retrieval.indexing.documents import index_document
from retrieval.models import CalibrationRun, Document, GoldenQuestion, Index, IngestionRun, SourceFile
from tests.factories import CustomerFactory, FeatureValueFactory, TicketFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("embedder")]


def load(*options: str) -> str:
    out = StringIO()
    call_command("load_sample", *options, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_sample_goes_with_all_that_it_brought_and_does_not_come_back() -> None:
    load("--if-empty")
    assert Document.objects.live().count() == 33 and Customer.objects.count() == 10
    assert GoldenQuestion.objects.count() == 41 and SampleState.objects.get().state == "loaded"
    FeatureValueFactory(entity="User", entity_key="user_123", feature="user_tier", value="premium")
    load("--remove")
    assert not Document.objects.live().exists()
    brought = (Customer, Ticket, GoldenQuestion, SourceFile, IngestionRun, CalibrationRun, FeatureValue, KnownEntity)
    for model in brought:
        assert not model._default_manager.exists(), model
    assert Index.objects.get().threshold is None
    assert "it was removed before" in load("--if-empty")
    assert not Document.objects.live().exists()


def test_what_was_made_of_the_sample_or_beside_it_stays() -> None:
    load()
    index_document("knowledge_base", "refund-policy", "# Refunds\n\nOurs are better.")
    index_document("knowledge_base", "handbook", "# Handbook\n\nOurs.")
    Customer.objects.filter(user_id="user_123").update(tier="gold")
    TicketFactory(customer=Customer.objects.get(user_id="user_234"), number=9001)
    edited = GoldenQuestion.objects.earliest("pk")
    edited.tags = ["ours"]
    edited.save()
    solved = Ticket.objects.exclude(customer__user_id__in=["user_123", "user_234"]).earliest("pk")
    Ticket.objects.filter(pk=solved.pk).update(status="solved")
    own = CustomerFactory(user_id="ana")
    KnownEntity.objects.touch("User", ["ana"])
    said = load("--remove")
    assert said.count("1 that were changed stay") == 2 and "3 that were changed stay" in said
    assert GoldenQuestion.objects.get() == edited and Ticket.objects.filter(pk=solved.pk).exists()
    assert set(Document.objects.live().values_list("entity_id", flat=True)) == {"refund-policy", "handbook"}
    assert set(Customer.objects.values_list("user_id", flat=True)) == {
        "user_123", "user_234", solved.customer.user_id, own.user_id
    }  # fmt: skip
    assert set(KnownEntity.objects.values_list("entity_key", flat=True)) >= {"ana", "user_123", "user_234"}


def test_what_it_never_brought_stays() -> None:
    FeatureValueFactory(entity="User", entity_key="user_123", feature="user_tier", value="gold")
    assert "Removed: 0 customers" in load("--remove")
    assert FeatureValue.objects.get().value == "gold"


def test_it_is_taken_from_the_index_that_it_was_loaded_into(settings: Any) -> None:
    load()
    settings.FABRA_DEFAULT_INDEX = "helpdesk"
    load("--remove")
    assert not Document.objects.live().exists() and not GoldenQuestion.objects.exists()


def test_pruned_articles_do_not_come_back_with_the_next_start() -> None:
    load("--if-empty")
    for document in Document.objects.all():
        document.delete()
    assert "it was loaded before" in load("--if-empty")
    assert not Document.objects.exists()


def test_a_load_that_was_interrupted_goes_on() -> None:
    SampleState.objects.create(pk=1, state=SampleState.State.LOADING)
    CustomerFactory(user_id="user_123", name="Mara Lindqvist")
    load("--if-empty")
    assert Customer.objects.count() == 10 and SampleState.objects.get().state == "loaded"


@pytest.mark.parametrize("reason", ["off", "documents", "customers"])
def test_nothing_is_loaded_where_it_is_not_wanted(settings: Any, reason: str) -> None:
    settings.FABRA_SAMPLE = reason != "off"
    if reason == "documents":
        index_document("docs", "a", "Mine.")
    if reason == "customers":
        CustomerFactory(user_id="ana")
    assert "The sample is not loaded" in load("--if-empty")
    assert not GoldenQuestion.objects.exists() and not SampleState.objects.exists()
