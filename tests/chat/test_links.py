"""A document's link: from its source to the hit, the citation, the answer and the trace, if it is a link at all."""

from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from chat.models import Message
from common.links import markdown_link, page_link, safe_link
from common.markdown import ALL_SOURCES, render
from contexts.models import Trace
from retrieval.indexing.documents import index_document
from retrieval.search.execute import search_sync

pytestmark = pytest.mark.django_db

PAGE = "https://docs.example.com/guide?a=1&b=2#part"
HOSTILE = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "//evil.example/x", "/\\evil.example/x",
    "/\t/evil.example/x", "guide", "", "https://",
    "https:evil.example", "https://a.example\\@evil.example", "https://docs.example.com@evil.example/", "https://[::1",
    "https://a.example:port/", "ftp://a.example", "https://a.example/\"onclick=\"x", "https://a.example/<script>",
    "https://a.example/\n", " https://a.example/", "https://a.example/\u202ecod.exe", "https://a.example/" + "x" * 2000,
    3, None, ["https://a.example"], {"href": "https://a.example"},
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE)
def test_what_is_no_plain_web_address_is_no_link(value: Any, bot: None, ask: Any) -> None:
    assert safe_link(value) == page_link(value) == ""
    index_document(settings.FABRA_DEFAULT_INDEX, "linked", "# Penguins\n\nPenguins swim.", {"url": value})
    hit = search_sync(settings.FABRA_DEFAULT_INDEX, "penguins").hits[0]
    assert (hit.document_id, hit.url) == ("linked", "")


@pytest.mark.parametrize("value", [PAGE, "http://h:8000/", "HTTPS://münchen.example/straße", "https://[::1]:8000/a"])
def test_a_web_address_is_a_link(value: str) -> None:
    assert safe_link(value) == value


def test_the_link_reaches_the_hit_the_citation_the_answer_and_the_trace(bot: None, ask: Any, admin_client: Any) -> None:
    text = "# Penguins [1] of](x)\n\nPenguins swim in the cold sea."
    index_document(settings.FABRA_DEFAULT_INDEX, "linked", text, {"url": PAGE})
    hits = admin_client.get(f"/api/search/?index_name={settings.FABRA_DEFAULT_INDEX}&query=penguins").json()["hits"]
    assert (hits[0]["document_id"], hits[0]["url"]) == ("linked", PAGE)
    body = ask("Where do penguins swim?").json()
    citation = body["citations"][0]
    assert (citation["document_id"], citation["url"]) == ("linked", PAGE)
    assert f"](<{PAGE}>)" in body["response"]
    html = render(body["response"], ALL_SOURCES)
    assert f'href="{PAGE.replace("&", "&amp;")}"' in html and 'rel="noopener nofollow"' in html
    others = [citation["url"] for citation in body["citations"][1:]]
    assert set(others) <= {""}
    trace = admin_client.get(reverse("admin:contexts_trace_change", args=[Trace.objects.latest("created_at").pk]))
    assert f'href="{PAGE.replace("&", "&amp;")}" target="_blank" rel="noopener nofollow"' in trace.content.decode()
    search = reverse("retrieval:search_test")
    shown = admin_client.get(
        search, {"index": settings.FABRA_DEFAULT_INDEX, "q": "penguins", "filters": "{}", "audience": ""}
    ).content.decode()
    assert f'href="{PAGE.replace("&", "&amp;")}" target="_blank" rel="noopener nofollow"' in shown


def text_of(response: Any) -> str:
    """Return what a response streams."""

    async def whole() -> bytes:
        return b"".join([piece async for piece in response])

    return async_to_sync(whole)().decode()


@pytest.fixture
def with_a_path(bot: None) -> str:
    """A document whose page is one of this site."""
    index_document(
        settings.FABRA_DEFAULT_INDEX, "linked", "# Penguins\n\nPenguins swim in the cold sea.", {"url": "/p/1/"}
    )
    return "Where do penguins swim?"


def test_a_path_is_stored_as_it_is_and_clients_get_it_with_the_host_that_they_asked(
    with_a_path: str, ask: Any, admin_client: Client, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["testserver", "other.example"]
    assert search_sync(settings.FABRA_DEFAULT_INDEX, "penguins").hits[0].url == "/p/1/"
    answer = ask(with_a_path).json()
    assert [citation["url"] for citation in answer["citations"]][:1] == ["http://testserver/p/1/"]
    assert "/p/1/" not in answer["response"]  # which is read elsewhere, too
    message = Message.objects.get(pk=answer["message_id"])
    assert message.citations[0]["url"] == "/p/1/"
    other = {"HTTP_HOST": "other.example"}
    hits = admin_client.get("/api/search/", {"index_name": settings.FABRA_DEFAULT_INDEX, "query": "penguins"}, **other)
    assert hits.json()["hits"][0]["url"] == "http://other.example/p/1/"
    conversation = f"/api/conversations/{answer['conversation_id']}"
    messages = admin_client.get(f"{conversation}/messages/?user_id={message.conversation.user_id}", **other).json()
    assert messages["messages"][-1]["citations"][0]["url"] == "http://other.example/p/1/"
    exported = admin_client.get(f"{conversation}/export/?as=markdown&user_id={message.conversation.user_id}", **other)
    assert "(<http://other.example/p/1/>)" in text_of(exported)


def test_a_stream_has_the_same_links(with_a_path: str, ask: Any) -> None:
    events = text_of(ask(with_a_path, stream=True))
    assert '"url":"http://testserver/p/1/"' in events.replace('": "', '":"')


def test_the_completions_of_v1_cite_a_path_in_full(with_a_path: str, client: Client, settings: Any) -> None:
    settings.DEBUG = True
    body = {"model": "chat_context", "messages": [{"role": "user", "content": with_a_path}]}
    answer = client.post("/v1/chat/completions", body, content_type="application/json").json()
    (annotation, *_others) = answer["choices"][0]["message"]["annotations"]
    assert annotation["url_citation"]["url"] == "http://testserver/p/1/"
    assert answer["fabra"]["citations"][0]["url"] == "http://testserver/p/1/"


def test_what_an_agent_inserts_has_the_whole_address(with_a_path: str, ask: Any, admin_client: Client) -> None:
    answer = ask(with_a_path).json()
    opened = admin_client.get(f"/admin/inbox/{answer['conversation_id']}/").json()["html"]
    found = admin_client.get("/admin/inbox/passages/", {"q": "penguins"}).json()["html"]
    assert "http://testserver/p/1/" in opened and "http://testserver/p/1/" in found


@pytest.mark.parametrize("text", ["a [b](c) d", "]", "[", "\\", "\\]", "a\n\nb", "`", "*a*", "[1]", "![x](y)"])
def test_a_title_cannot_end_its_link_early(text: str) -> None:
    html = render(markdown_link(text, PAGE), ALL_SOURCES)
    assert html.count("<a ") == 1 and html.count("href=") == 1 and "docs.example.com" in html


def test_links_come_from_the_base_url_and_the_front_matter(tmp_path: Path) -> None:
    (tmp_path / "refunds.md").write_text("Refunds.")
    (tmp_path / "refunds.txt").write_text("Refunds, as text.")
    (tmp_path / "own.md").write_text("---\nurl: https://elsewhere.example/own\n---\nOwn.")
    (tmp_path / "relative.md").write_text("---\nurl: /help/relative\n---\nRelative.")
    call_command("index_documents", str(tmp_path), "--index", "docs", "--base-url", "https://docs.example.com/v2")
    urls = {hit.document_id: hit.url for hit in search_sync("docs", "refunds own relative", 10).hits}
    assert urls == {
        "refunds": "https://docs.example.com/v2/refunds",
        "refunds.txt": "https://docs.example.com/v2/refunds",
        "own": "https://elsewhere.example/own",
        "relative": "https://docs.example.com/help/relative",
    }
