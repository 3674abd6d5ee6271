"""Generations in the admin: one form builds, one click switches, one goes back, one drops."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from retrieval.evaluation.comparison import compare_generation
from retrieval.generations import lifecycle
from retrieval.indexing.documents import index_document
from retrieval.models import Generation, Index
from tests.broker import messages

pytestmark = pytest.mark.django_db


@pytest.fixture
def index() -> Index:
    index_document("docs", "bird", "Penguins swim.")
    return Index.objects.get()


def asked() -> list[tuple[str, int]]:
    """Return what workers are asked for, each once: several share a build."""
    each_once = dict.fromkeys((message.task, message.args[0]) for message in messages())
    return [(task.removeprefix("retrieval.tasks."), pk) for task, pk in each_once]


def url(name: str, generation: Generation) -> str:
    return reverse(f"admin:retrieval_generation_{name}", args=[generation.pk])


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def test_from_the_form_to_the_switch_and_back(index: Index, admin_client: Client) -> None:
    first = index.generation
    assert first is not None
    start = reverse("admin:retrieval_generation_start")
    assert "must be from 80" in admin_client.post(start, {"index": index.pk, "max_tokens": 3}).content.decode()
    assert admin_client.post(start, {"index": index.pk, "max_tokens": 100}).status_code == 302
    other = Generation.objects.latest("pk")
    assert asked() == [("build_generation", other.pk)]
    page = admin_client.get(url("change", other)).content.decode()
    assert "0 of 1 documents" in page
    assert "Have it serve" not in page
    assert "not ready" in said(admin_client.post(url("switch", other)))

    lifecycle.execute_build(other.pk)
    compare_generation(other.pk, ["penguins"])
    page = admin_client.get(url("change", other)).content.decode()
    assert "overlap@10" in page and "latency_ms_p50" in page
    assert "serves now" in said(admin_client.post(url("switch", other)))
    index.refresh_from_db()
    assert index.generation == other
    assert "serves searches" in said(admin_client.post(url("drop", other)))
    admin_client.post(url("switch", first))
    admin_client.post(url("compare", other))
    admin_client.post(url("drop", other))
    assert asked()[1:] == [("compare_generation", other.pk), ("drop_generation", other.pk)]
    other.refresh_from_db()
    assert other.state == "dropping"


def test_it_wants_a_post_and_the_permission(index: Index, client: Client) -> None:
    assert index.generation is not None
    reader = User.objects.create_user("reader", password="x", is_staff=True)
    reader.user_permissions.set(Permission.objects.filter(codename="view_generation"))
    client.force_login(reader)
    assert client.get(url("change", index.generation)).status_code == 200
    for name in ("switch", "compare", "drop", "go-on"):
        assert client.get(url(name, index.generation)).status_code == 405
        assert client.post(url(name, index.generation)).status_code == 403
    assert client.get(reverse("admin:retrieval_generation_start")).status_code == 403
    assert asked() == []
