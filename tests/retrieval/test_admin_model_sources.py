"""The admin's page of a model source: switched on it is compared, and what is over says how its documents go."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat.models import Customer
from retrieval.errors import ObjectUnreadable
from retrieval.model_sources.declaration import ModelSourceSpec
from retrieval.models import ModelSource
from tests.broker import messages
from tests.factories import CustomerFactory, TicketFactory
from tests.retrieval.model_sources import compare, declare_tickets

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("embedder")]


@pytest.fixture
def source() -> ModelSourceSpec:
    declared = declare_tickets()
    TicketFactory(note="One.", customer=CustomerFactory())
    compare(declared)
    return declared


def url() -> str:
    return reverse("admin:retrieval_modelsource_change", args=[ModelSource.objects.get().pk])


def test_a_source_that_is_switched_on_is_compared(
    source: ModelSourceSpec, admin_client: Client, django_capture_on_commit_callbacks: object
) -> None:
    for form, names in (({}, []), ({"is_enabled": "on"}, [(source.name,)]), ({"is_enabled": "on"}, [])):
        before = len(messages("ingest"))
        with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
            assert admin_client.post(url(), form).status_code == 302
        assert [tuple(message.args) for message in messages("ingest")[before:]] == names


def test_what_is_over_says_how_its_documents_go(source: ModelSourceSpec, admin_client: Client) -> None:
    command = f"manage.py sync_models --withdraw &quot;{source.name}&quot;"
    assert command not in admin_client.get(url()).content.decode()
    ModelSource.objects.update(is_enabled=False)
    assert command in admin_client.get(url()).content.decode()


def test_a_comparison_that_failed_found_no_equality(source: ModelSourceSpec, admin_client: Client) -> None:
    assert "no difference" not in admin_client.get(url()).content.decode()  # the first comparison has found one
    compare(source)
    assert "no difference" in admin_client.get(url()).content.decode()
    before = timezone.now()
    source.declared.queryset = lambda: Customer.objects.all()[:1]
    with pytest.raises(ObjectUnreadable):
        compare(source)
    page = admin_client.get(url()).content.decode()
    assert "no difference" not in page and "queryset(): it raised" in page
    assert ModelSource.objects.filter(started_at__gt=before).exists()
