"""The retrieval test page: both legs and their fusion, marked words, plans without vectors, kept questions."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from retrieval.errors import EmbedderUnavailable
from retrieval.models import GoldenQuestion, Index
from retrieval.search.execute import search_sync
from retrieval.search.explain import recorded_plans
from retrieval.search.highlight import highlighter

pytestmark = pytest.mark.django_db

PAGE = "retrieval:search_test"
KEEP = "retrieval:search_test_keep"


@pytest.fixture(autouse=True)
def documents(put: Any) -> None:
    put("password", "# Reset\n\nTo get a new password, click the link in the email.", {"category": "account"})
    put("errors", "# Errors\n\nThe code E-4021 means that the project is archived.", {"category": "api"})
    put("hostile", "# <script>alert(1)</script>\n\n<img src=x onerror=alert(2)> E-4021 \x02mark\x03", {"category": "x"})


def ask(client: Client, question: str, **options: Any) -> Any:
    return client.get(reverse(PAGE), {"index": "docs", "q": question, "filters": "{}", "audience": "", **options})


def ways(response: Any) -> dict[str, Any]:
    return {way["mode"]: way for way in response.context["page"]["ways"]}


def found(way: dict[str, Any]) -> list[str]:
    return [row["hit"].document_id for row in way["hits"]]


def test_it_asks_before_it_answers(admin_client: Client) -> None:
    response = admin_client.get(reverse(PAGE))
    assert response.status_code == 200
    assert response.context["page"] == {}
    assert "This field is required" not in response.content.decode()


def test_both_legs_and_their_fusion_side_by_side(admin_client: Client) -> None:
    response = ask(admin_client, "What does E-4021 mean?", top_k="2")
    shown = ways(response)
    for mode in ("hybrid", "semantic", "lexical"):
        same = search_sync("docs", "What does E-4021 mean?", 2, mode=mode, audience="*")
        assert [row.chunk_id for row in same.hits] == [
            int(pk) for pk in re.findall(r"chunk (\d+)</a>", section(response, mode))
        ]
    assert set(found(shown["lexical"])) == {"errors", "hostile"}


def section(response: Any, mode: str) -> str:
    return response.content.decode().split(f"fb-way-{mode}")[1].split("</section>")[0]


def test_hostile_documents_are_text(admin_client: Client) -> None:
    content = ask(admin_client, "E-4021 script alert").content.decode()
    assert "<script>alert(1)" not in content
    assert "<img src=x" not in content
    assert "&lt;<mark>script</mark>&gt;<mark>alert</mark>(1)" in content
    question = ask(admin_client, "</textarea><script>alert(3)</script>").content.decode()
    assert "<script>alert(3)" not in question


def test_words_are_marked_as_the_lexical_leg_matches_them() -> None:
    text = "Archived projects & <b>projecting</b>: E-4021, E-4016, the"
    mark = highlighter("english", "the project E-4021 archive", [text])
    assert mark(text) == (
        "<mark>Archived</mark> <mark>projects</mark> &amp; &lt;b&gt;<mark>projecting</mark>&lt;/b&gt;: "
        "<mark>E-4021</mark>, <mark>E</mark>-4016, the"
    )
    text = "Archived—“office” \ufb01les in 密码重置"
    mark = highlighter("english", "archive’s files: 密码重置", [text])
    assert mark(text) == "<mark>Archived</mark>—“office” <mark>\ufb01les</mark> in <mark>密码重置</mark>"
    text = "C++ and C#, Cafe\u0301 or café, /etc/nginx/nginx.conf, v2.3.1 and user@host.com"
    mark = highlighter("english", "c++ cafe nginx.conf 2.3.1 user@host.com", [text])
    assert mark(text) == (
        "<mark>C++</mark> and <mark>C</mark>#, <mark>Cafe\u0301</mark> or <mark>café</mark>, "
        "/etc/<mark>nginx</mark>/<mark>nginx</mark>.<mark>conf</mark>, <mark>v2.3.1</mark> and "
        "<mark>user@host.com</mark>"
    )
    assert highlighter("simple", "project", [text])(text).count("<mark>") == 0
    assert highlighter("english", "", ["a"])("a") == "a"


def test_the_plan_is_of_the_statement_and_shows_no_vector(admin_client: Client) -> None:
    response = ask(admin_client, "new password")
    for way in ways(response).values():
        (plan, *_) = way["plans"]
        assert "Buffers: " in plan.text
        assert plan.execution_ms > 0
        assert plan.scanned
    assert not re.search(r"\[-?\d\.\d+,", response.content.decode())
    with recorded_plans() as plans:
        search_sync("docs", "new password")
    assert len(plans) >= 1


def test_filters_and_what_is_wrong_with_them(admin_client: Client) -> None:
    narrow = ask(admin_client, "E-4021", filters='{"category": "api"}')
    assert found(ways(narrow)["hybrid"]) == ["errors"]
    for options, field in [
        ({"filters": '{"a": {"$nope": 1}}'}, "__all__"),
        ({"filters": "{"}, "filters"),
        ({"q": "   "}, "q"),
        ({"q": "a\x00"}, "q"),
        ({"index": "nothing"}, "index"),
        ({"top_k": "0"}, "top_k"),
        ({"lexical_weight": "-1"}, "lexical_weight"),
        ({"lexical_weight": "nan"}, "lexical_weight"),
        ({"fusion": "magic"}, "fusion"),
    ]:
        response = admin_client.get(reverse(PAGE), {"index": "docs", "q": "E-4021", **options})
        assert response.status_code == 200
        assert response.context["page"] == {}
        assert list(response.context["form"].errors) == [field], options


def test_without_an_embedder_words_answer_and_it_says_so(admin_client: Client, embedder: Any) -> None:
    embedder.take_over()
    embedder.failure = EmbedderUnavailable
    response = ask(admin_client, "E-4021")
    assert "The embedder is down" in response.content.decode()


def test_a_hit_is_kept_as_the_golden_answer(admin_client: Client) -> None:
    asked = {"index": "docs", "q": "What is E-4021?", "top_k": "3", "filters": "{}", "audience": "gold, silver"}
    response = admin_client.post(reverse(KEEP), {**asked, "document_id": "errors"})
    assert response["Location"].startswith(reverse(PAGE) + "?")
    row = GoldenQuestion.objects.get()
    assert (row.index, row.question, row.expected_documents) == (Index.objects.get(), asked["q"], ["errors"])
    assert row.audience == ["gold", "silver"]
    again = admin_client.get(response["Location"])
    hit = next(hit for hit in ways(again)["hybrid"]["hits"] if hit["hit"].document_id == "errors")
    assert hit["is_expected"]
    admin_client.post(reverse(KEEP), {**asked, "document_id": "hostile"})
    row.refresh_from_db()
    assert row.expected_documents == ["errors", "hostile"]
    bad = admin_client.post(reverse(KEEP), {**asked, "document_id": ""})
    assert "must not be empty" in " ".join(str(message) for message in get_messages(bad.wsgi_request))


def test_it_needs_its_permissions() -> None:
    user = User.objects.create_user("clerk", password="x", is_staff=True)
    client = Client()
    assert client.get(reverse(PAGE)).status_code == 302
    client.force_login(user)
    assert client.get(reverse(PAGE)).status_code == 403
    user.user_permissions.set(Permission.objects.filter(codename="view_chunk"))
    assert ask(client, "E-4021").status_code == 200
    assert "Expected: keep" not in ask(client, "E-4021").content.decode()
    assert client.post(reverse(KEEP), {"q": "a", "document_id": "a"}).status_code == 403
    assert client.get(reverse(KEEP)).status_code == 405
