"""Every list and page of the admin answers, with a bounded number of queries, and renders no vector."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.forms import ModelChoiceField
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chat.models import ApiKey, Conversation, Customer
from common.retention import kinds
from contexts.models import Trace
from events.models import Event, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from retrieval.models import Chunk, Document, DocumentVersion
from tests.chat.admin_rows import VECTOR, fill
from tests.factories import ChunkFactory, EventFactory

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
MAX_QUERIES = 12


def address(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def query_count(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


def test_lists_and_pages_answer(admin_client: Client) -> None:
    fill(2)
    for model in MODELS:
        if not model._default_manager.exists():  # groups
            model._default_manager.create(name="one")
        listed = admin_client.get(address(model, "changelist"))
        page = admin_client.get(address(model, "change", model._default_manager.order_by("pk").first().pk))
        for response in (listed, page):
            assert (response.status_code, model) == (200, model)
            assert "<script>alert" not in response.content.decode(), model
            assert "<b>text</b>" not in response.content.decode(), model


def test_lists_and_pages_need_as_many_queries_for_many_rows(admin_client: Client) -> None:
    fill(3)
    few = {model: query_count(admin_client, address(model, "changelist")) for model in MODELS}
    fill(40, start=3)  # all at once, since that takes more than all lists
    counts = {}
    for model in MODELS:
        many = counts[model, "list"] = query_count(admin_client, address(model, "changelist"))
        assert (many <= few[model] + 1, model) == (True, model)  # of several pages, one is read by its keys
        for row in model._default_manager.order_by("pk")[:2]:
            counts[model, row.pk] = query_count(admin_client, address(model, "change", row.pk))
    assert {page: count for page, count in counts.items() if count > MAX_QUERIES} == {}


def test_what_a_superuser_may_delete_can_be_deleted_with_what_belongs_to_it(
    admin_client: Client, admin_user: User, rf: RequestFactory
) -> None:
    fill(20)
    owner = User.objects.create_user("owner")
    for number in range(20):
        ApiKey.objects.create(name=str(number), digest=str(number), owner=owner)
        LogEntry.objects.create(user=owner, action_flag=1, object_repr=str(number))
    WebhookDelivery.objects.update(endpoint=WebhookEndpoint.objects.earliest("pk"))
    request = rf.get("/")
    request.user = admin_user
    counts = {}
    for model, model_admin in admin.site._registry.items():
        for row in model._default_manager.order_by("pk")[:2]:
            if not model_admin.has_delete_permission(request, row):
                continue
            with CaptureQueriesContext(connection) as queries:
                page = admin_client.get(address(model, "delete", row.pk))
            assert not page.context["perms_lacking"] and not page.context["protected"], row
            counts[model, row.pk] = len(queries)
    assert {page: count for page, count in counts.items() if count > MAX_QUERIES} == {}

    def counted(row: Any) -> dict[str, int]:
        page = admin_client.get(address(type(row), "delete", row.pk))
        return {str(name): count for name, count in page.context["model_count"]}

    deliveries, attempts = WebhookDelivery.objects.count(), WebhookAttempt.objects.count()
    assert counted(WebhookEndpoint.objects.earliest("pk")) == {
        "webhook endpoints": 1, "webhook deliveries": deliveries, "webhook attempts": attempts
    }  # fmt: skip
    assert counted(owner) == {"users": 1, "log entries": 20, "API keys": 20}
    assert admin_client.post(address(User, "delete", owner.pk), {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=owner.pk).exists()


def test_searches_answer(admin_client: Client) -> None:
    fill(1)
    for model in MODELS:
        for words in ("user_0 % 😀", 'a "b', "\x00"):
            found = admin_client.get(address(model, "changelist"), {"q": words})
            assert (found.status_code, model, words) == (200, model, words)


def test_values_that_cannot_be_are_a_bad_request(admin_client: Client) -> None:
    fill(1)
    events, documents = (address(model, "changelist") for model in (Event, Document))
    for year in ("99999", "0", "x", ""):
        assert admin_client.get(events, {"received_at__year": year}).status_code == 400, year
        assert admin_client.get(events, {"received_at__year__gte": year}).status_code == 400, year
    assert admin_client.get(events, {"received_at__year": "2026"}).status_code == 200
    for key in ("x", "\x00", "1.5"):
        chosen = {"action": "delete_selected", "_selected_action": key}
        for listed in (documents, address(User, "changelist")):
            assert admin_client.post(listed, chosen).status_code == 400, key


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


def test_a_page_of_many_is_the_one_that_was_asked_for(admin_client: Client) -> None:
    Conversation.objects.bulk_create(Conversation(user_id=f"user_{number}") for number in range(120))
    shown = []
    with CaptureQueriesContext(connection) as queries:
        for page in (1, 2, 3):
            response = admin_client.get(reverse("admin:chat_conversation_changelist"), {"p": page})
            shown += [conversation.pk for conversation in response.context["cl"].result_list]
    assert shown == list(Conversation.objects.order_by("-last_message_at", "-pk").values_list("pk", flat=True))
    skipping = [query["sql"] for query in queries if "OFFSET" in query["sql"]]
    assert skipping and not any("messages_said" in sql for sql in skipping)  # no columns of rows before the page


def test_a_document_with_many_versions_and_chunks_needs_no_more_queries(admin_client: Client) -> None:
    document = ChunkFactory.create().document
    few = query_count(admin_client, address(Document, "change", document.pk))
    for number in range(40):
        event = EventFactory.create()
        version = DocumentVersion.objects.create(
            document=document, number=number + 10, title="T", source=f"event {event.event_id}", content_hash="h"
        )
        ChunkFactory.create(document=document, version=version, position=number + 1)
    assert query_count(admin_client, address(Document, "change", document.pk)) <= few <= 12
    assert query_count(admin_client, address(DocumentVersion, "changelist")) <= 12
    page = admin_client.get(address(DocumentVersion, "change", version.pk)).content.decode()
    assert address(Event, "change", event.pk) in page


def test_documents_and_traces_are_found_by_their_words_or_by_whole_ids(admin_client: Client) -> None:
    fill(12)
    for model, term, count in (
        (Document, "titl 3", 1), (Document, "document-3", 1), (DocumentVersion, "document-3", 1),
        (DocumentVersion, "TITLE", 12), (Document, "%", 0), (Trace, "user_3", 1), (Trace, "nothing like this", 0),
    ):  # fmt: skip
        found = admin_client.get(address(model, "changelist"), {"q": term}).context["cl"]
        assert (term, found.result_count) == (term, count)


def test_a_trace_is_found_by_the_version_that_its_searches_found(admin_client: Client) -> None:
    fill(3)
    trace = Trace.objects.exclude(version_ids=[]).first()
    assert trace is not None
    for version, count in ((trace.version_ids[0], 1), (2**40, 0)):
        found = admin_client.get(address(Trace, "changelist"), {"version": version}).context["cl"]
        assert found.result_count == count


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_no_form_offers_all_rows_of_a_table_that_grows(model: Any, rf: Any, admin_user: Any) -> None:
    request = rf.get("/")
    request.user = admin_user
    model_admin = admin.site.get_model_admin(model)
    if not (model_admin.has_change_permission(request) or model_admin.has_add_permission(request)):
        return
    grows = {kind.model for kind in kinds} | {model for kind in kinds for model in kind.with_it} | {Customer}
    for name, field in model_admin.get_form(request)().fields.items():
        if isinstance(field, ModelChoiceField) and field.queryset.model in grows:
            assert name in model_admin.autocomplete_fields, name
