"""What somebody asked becomes a golden question, disabled until somebody has looked at it."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from contexts.golden import keep_as_golden
from contexts.models import Trace
from retrieval.models import Chunk, GoldenQuestion, Index
from tests.chat.admin_rows import fill, make_trace

pytestmark = pytest.mark.django_db


@pytest.fixture
def trace() -> Trace:
    fill(1)
    Index.objects.create(name="knowledge_base")
    return make_trace(Chunk.objects.get(), "ana", "How do I <b>pay</b>?")


def test_it_expects_the_document_of_the_first_passage_that_was_kept(trace: Trace) -> None:
    golden = keep_as_golden(trace)
    assert golden is not None
    assert (golden.question, golden.index.name, golden.filters) == ("How do I <b>pay</b>?", "knowledge_base", {"a": 1})
    assert (golden.expected_documents, golden.tags, golden.is_enabled) == (["document-0"], ["trace"], False)
    assert keep_as_golden(trace) == golden


def test_from_its_page_and_from_the_list(trace: Trace, admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:contexts_trace_change", args=[trace.pk]))
    keep = reverse("admin:contexts_trace_golden", args=[trace.pk])
    assert keep in page.content.decode()
    response = admin_client.post(keep)
    golden = GoldenQuestion.objects.get(question=trace.query)
    assert response["Location"] == reverse("admin:retrieval_goldenquestion_change", args=[golden.pk])
    assert admin_client.get(response["Location"]).status_code == 200
    golden.delete()
    chosen: dict[str, Any] = {"action": "keep_as_golden", "_selected_action": [trace.pk]}
    response = admin_client.post(reverse("admin:contexts_trace_changelist"), chosen)
    assert "1 kept" in " ".join(str(message) for message in get_messages(response.wsgi_request))
    assert GoldenQuestion.objects.filter(question=trace.query).count() == 1


def test_a_trace_without_an_index_keeps_nothing(trace: Trace, admin_client: Client) -> None:
    Index.objects.filter(name="knowledge_base").delete()
    response = admin_client.post(reverse("admin:contexts_trace_golden", args=[trace.pk]))
    assert response["Location"] == reverse("admin:contexts_trace_change", args=[trace.pk])
    assert not GoldenQuestion.objects.filter(question=trace.query).exists()


def test_it_needs_the_permission(trace: Trace) -> None:
    user = User.objects.create_user("clerk", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_trace"))
    client = Client()
    client.force_login(user)
    keep = reverse("admin:contexts_trace_golden", args=[trace.pk])
    assert client.post(keep).status_code == 403
    assert client.get(keep).status_code in (403, 405)
    assert keep not in client.get(reverse("admin:contexts_trace_change", args=[trace.pk])).content.decode()
