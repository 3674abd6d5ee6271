"""Every list and page of the admin answers, with a bounded number of queries, and renders no vector."""

from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from retrieval.models import Chunk
from tests.chat.admin_rows import VECTOR, fill

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
MAX_QUERIES = 15


def address(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def query_count(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_list_and_page_answer(model: Any, admin_client: Client) -> None:
    fill(2)
    if not model._default_manager.exists():  # groups
        model._default_manager.create(name="one")
    listed = admin_client.get(address(model, "changelist"))
    assert listed.status_code == 200
    page = admin_client.get(address(model, "change", model._default_manager.order_by("pk").first().pk))
    assert page.status_code == 200
    for response in (listed, page):
        assert "<script>alert" not in response.content.decode()
        assert "<b>text</b>" not in response.content.decode()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_list_needs_as_many_queries_for_many_rows(model: Any, admin_client: Client) -> None:
    url = address(model, "changelist")
    fill(3)
    few = query_count(admin_client, url)
    fill(40, start=3)
    many = query_count(admin_client, url)
    assert many <= MAX_QUERIES
    assert many <= few


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_search_answers(model: Any, admin_client: Client) -> None:
    fill(1)
    for words in ("user_0", "a b", '"', "%", "\x00", "😀"):
        assert admin_client.get(address(model, "changelist"), {"q": words}).status_code == 200


def test_filter_with_a_nul_answers(admin_client: Client) -> None:
    response = admin_client.get(
        reverse("admin:events_event_changelist"), {"state__exact": "\x00", "event_type": "\x00"}, follow=True
    )
    assert response.status_code == 200


@pytest.mark.parametrize("page", ["changelist", "change"])
def test_vector_is_neither_read_nor_rendered(page: str, admin_client: Client) -> None:
    fill(1)
    args = [Chunk.objects.values_list("pk", flat=True).get()] if page == "change" else []
    with CaptureQueriesContext(connection) as queries:
        content = admin_client.get(address(Chunk, page, *args)).content.decode()
    assert str(VECTOR[0]) not in content
    assert not any('"embedding"' in query["sql"] for query in queries)


def test_front_page_lists_every_model(admin_client: Client) -> None:
    content = admin_client.get(reverse("admin:index")).content.decode()
    assert all(address(model, "changelist") in content for model in MODELS)


def test_chunks_are_found_as_the_lexical_leg_finds_them(admin_client: Client) -> None:
    fill(2)
    found = admin_client.get(reverse("admin:retrieval_chunk_changelist"), {"q": "texts"})
    assert found.context["cl"].result_count == 2
    by_document = admin_client.get(reverse("admin:retrieval_chunk_changelist"), {"q": "document-1"})
    assert by_document.context["cl"].result_count == 1


@pytest.mark.parametrize(
    "name",
    ["features_featurevalue", "features_materializationrun", "retrieval_documentversion", "retrieval_chunk",
     "contexts_trace", "chat_conversation"],
)  # fmt: skip
def test_what_the_machine_writes_is_read_only(name: str, admin_client: Client) -> None:
    fill(1)
    model = next(model for model in MODELS if model._meta.label_lower.replace(".", "_") == name)
    pk = model._default_manager.get().pk
    assert admin_client.get(address(model, "add")).status_code == 403
    assert admin_client.post(address(model, "change", pk), {}).status_code == 403
    assert admin_client.post(address(model, "delete", pk), {"post": "yes"}).status_code == 403
