"""The pages of a sitemap: what is asked for, what is refused, and what is not asked for twice."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from retrieval.models import Document
from retrieval.sources import Sitemap, SourceUnavailable

PAGE = "<html><body><nav>Menu</nav><main><h1>{0}</h1><p>Text of {0}.</p></main></body></html>"


class Site:
    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[str] = []
        self.gone: set[str] = set()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                content = site.pages.get(self.path)
                if self.path in site.redirects:
                    self.send_response(302)
                    self.send_header("Location", site.redirects[self.path])
                elif self.path in site.gone:
                    self.send_response(410)
                    content = b""
                elif content is None:
                    self.send_response(404)
                elif self.headers.get("If-None-Match") == str(hash(content)):
                    self.send_response(304)
                    content = b""
                else:
                    self.send_response(200)
                    self.send_header("ETag", str(hash(content)))
                    self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def sitemap(self, *places: str, tag: str = "urlset") -> bytes:
        locations = "".join(f"<url><loc>{place}</loc></url>" for place in places)
        return f'<{tag} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{locations}</{tag}>'.encode()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    site.pages = {
        "/sitemap.xml": site.sitemap(f"{site.url}/one.xml", f"{site.url}/two.xml.gz", tag="sitemapindex"),
        "/one.xml": site.sitemap(f"{site.url}/guide/a", f"{site.url}/private/b", "https://elsewhere.test/c"),
        "/two.xml.gz": gzip.compress(site.sitemap(f"{site.url}/guide/d", f"{site.url}/gone")),
        "/robots.txt": b"User-agent: *\nDisallow: /private/\n",
        "/guide/a": PAGE.format("a").encode(),
        "/guide/d": PAGE.format("d").encode(),
        "/private/b": PAGE.format("b").encode(),
    }
    yield site
    site.server.shutdown()


def ingest(site: Site, *arguments: str) -> str:
    out = StringIO()
    call_command(
        "index_documents", f"{site.url}/sitemap.xml", "--index", "web", "--allow-private", *arguments,
        stdout=out, stderr=out,
    )  # fmt: skip
    return out.getvalue()


@pytest.mark.django_db
def test_the_pages_of_a_sitemap_are_indexed_and_link_back(site: Site) -> None:
    said = ingest(site)
    assert "2 indexed, 0 unchanged, 3 unreadable" in said
    for reason in ("robots.txt forbids it", "of another host", "HTTP 404"):
        assert reason in said
    page = Document.objects.get(entity_id="guide/a")
    assert (page.title, page.text, page.metadata["url"]) == ("a", "# a\n\nText of a.", f"{site.url}/guide/a")
    site.asked.clear()
    site.pages["/guide/d"] = PAGE.format("new").encode()
    assert "1 indexed, 1 unchanged" in ingest(site)
    site.pages["/two.xml.gz"] = gzip.compress(site.sitemap())
    assert "1 pruned" in ingest(site, "--prune")
    assert [document.entity_id for document in Document.objects.live()] == ["guide/a"]


@pytest.mark.django_db
def test_a_sitemap_that_cannot_be_read_prunes_nothing(site: Site) -> None:
    ingest(site)
    del site.pages["/two.xml.gz"]
    with pytest.raises(CommandError, match="HTTP 404"):
        ingest(site, "--prune")
    assert Document.objects.live().count() == 2


def test_private_addresses_are_not_asked(site: Site) -> None:
    with pytest.raises(SourceUnavailable, match="private address"):
        list(Sitemap(f"{site.url}/sitemap.xml").entries())
    assert site.asked == []


def test_a_redirect_to_another_host_is_not_followed(site: Site) -> None:
    site.redirects = {"/sitemap.xml": "http://169.254.169.254/latest"}
    with pytest.raises(SourceUnavailable, match="another host"):
        list(Sitemap(f"{site.url}/sitemap.xml", allow_private=True).entries())


@pytest.mark.parametrize(
    "content",
    [
        b"<html>", b"", b"\x1f\x8bbroken",
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><urlset><loc>&b;</loc></urlset>',
        gzip.compress(b"\0" * 60_000_000),
    ],
)  # fmt: skip
def test_a_hostile_sitemap_is_refused(site: Site, content: bytes) -> None:
    site.pages["/sitemap.xml"] = content
    with pytest.raises(SourceUnavailable):
        list(Sitemap(f"{site.url}/sitemap.xml", allow_private=True).entries())


@pytest.mark.django_db
def test_every_address_is_a_document_of_its_own(site: Site) -> None:
    places = ["/kb?id=1", "/kb?id=2", "/kb", "/guide", "/guide.pdf", "/guide/", "/v1.3", "/v1.4", "/index.html", "/"]
    site.pages |= {place: PAGE.format(f"page {number}").encode() for number, place in enumerate(places)}
    site.pages["/sitemap.xml"] = site.sitemap(*(f"{site.url}{place}" for place in places))
    names = ["kb?id=1", "kb?id=2", "kb", "guide", "guide.pdf", "guide/", "v1.3", "v1.4", "index", f"{site.url}/"]
    for _ in range(2):
        assert "0 unreadable" in ingest(site, "--prune")
        documents = Document.objects.live().order_by("pk")
        found = {document.entity_id: (document.text, document.metadata["url"]) for document in documents}
        assert {name: url for name, (_, url) in found.items()} == {
            name: f"{site.url}{place}" for name, place in zip(names, places, strict=True)
        }
        assert all(f"Text of page {number}." in found[name][0] for number, name in enumerate(names))


@pytest.mark.django_db
def test_a_page_that_is_gone_is_withdrawn(site: Site) -> None:
    ingest(site)
    site.gone.add("/guide/a")
    assert "/guide/a: withdrawn" in ingest(site, "--prune")
    assert list(Document.objects.live().values_list("entity_id", flat=True)) == ["guide/d"]
