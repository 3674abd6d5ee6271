"""A document's link: from its source to the hit, the citation, the answer and the trace, if it is a link at all."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.urls import reverse

from common.links import markdown_link, safe_link
from common.markdown import ALL_SOURCES, render
from contexts.models import Trace
from retrieval.indexing.documents import index_document
from retrieval.search.execute import search_sync

pytestmark = pytest.mark.django_db

PAGE = "https://docs.example.com/guide?a=1&b=2#part"
HOSTILE = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "//evil.example/x", "/guide", "guide", "", "https://",
    "https:evil.example", "https://a.example\\@evil.example", "https://docs.example.com@evil.example/", "https://[::1",
    "https://a.example:port/", "ftp://a.example", "https://a.example/\"onclick=\"x", "https://a.example/<script>",
    "https://a.example/\n", " https://a.example/", "https://a.example/\u202ecod.exe", "https://a.example/" + "x" * 2000,
    3, None, ["https://a.example"], {"href": "https://a.example"},
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE)
def test_what_is_no_plain_web_address_is_no_link(value: Any, bot: None, ask: Any) -> None:
    assert safe_link(value) == ""
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
