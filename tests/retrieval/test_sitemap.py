"""The pages of a sitemap: what is asked for, what is refused, and what is not asked for twice."""

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from retrieval import tasks
from retrieval.ingestion.runs import RunOptions, open_run
from retrieval.models import Document, IngestionFile, IngestionRun
from retrieval.readers import Unreadable
from retrieval.readers.isolation import parse_isolated
from retrieval.readers.page_lists import parse_sitemap
from retrieval.sources import Sitemap, SourceUnavailable
from retrieval.sources.sitemap import normalized
from tests.broker import messages
from tests.processes import wait_until

PAGE = "<html><body><nav>Menu</nav><main><h1>{0}</h1><p>Text of {0}.</p></main></body></html>"


class Site:
    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.is_dripping = False
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
                    for name, value in ({"Content-Type": "text/html"} | site.headers.get(self.path, {})).items():
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content or b"")))
                if site.is_dripping:
                    self.drip()
                self.end_headers()
                self.wfile.write(content or b"")

            def drip(self) -> None:
                """Send a byte of a header now and then, so that no single read takes long."""
                self.flush_headers()
                with suppress(OSError):
                    while site.is_dripping:
                        self.wfile.write(b"X")
                        time.sleep(0.05)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def sitemap(self, *addresses: str, tag: str = "urlset") -> bytes:
        locations = "".join(f"<url><loc>{address}</loc></url>" for address in addresses)
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
    site.is_dripping = False
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


@pytest.mark.django_db(transaction=True)
def test_no_worker_waits_for_a_site_that_lists_its_pages_slowly(site: Site) -> None:
    run = open_run("web", f"{site.url}/sitemap.xml", RunOptions(allow_private=True))
    site.is_dripping = True
    tasks.ingest(run.pk)  # it returns while the site has not answered
    tasks.ingest(run.pk)
    run.refresh_from_db()
    assert not run.is_listed and not messages("ingest")
    site.is_dripping = False
    wait_until(lambda: messages("ingest"))
    run.refresh_from_db()
    assert run.is_listed
    tasks.ingest(run.pk)
    assert Document.objects.count() == 2


@pytest.mark.django_db
def test_a_sitemap_that_cannot_be_read_prunes_nothing(site: Site) -> None:
    ingest(site)
    del site.pages["/two.xml.gz"]
    with pytest.raises(CommandError, match="HTTP 404"):
        ingest(site, "--prune")
    assert Document.objects.live().count() == 2


def source(site: Site, **options: Any) -> Sitemap:
    return Sitemap(f"{site.url}/sitemap.xml", allow_private=True, **options)


def unread(site: Site, url: str, **options: Any) -> str:
    with pytest.raises(Unreadable) as caught:
        source(site, **options).fetch(url)
    return str(caught.value)


FEEDS = {
    "text": "\ufeff{url}/guide/a\r\n\r\n {url}/guide/d\n",
    "RSS": """<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"><channel><link>{url}/private/b</link>
        <atom:link href="{url}/sitemap.xml" rel="self"/><image><link>{url}/gone</link></image>
        <item><link> {url}/guide/a </link><enclosure url="{url}/gone"/></item>
        <item><link>{url}/guide/d</link></item><item><guid>{url}/gone</guid></item></channel></rss>""",
    "RSS 1.0": """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">
        <channel><link>{url}/private/b</link></channel><item><link>{url}/guide/a</link></item>
        <item><link>{url}/guide/d</link></item></rdf:RDF>""",
    "Atom": """<feed xmlns="http://www.w3.org/2005/Atom"><link href="/private/b"/>
        <entry><link rel="replies" href="/gone"/><link href="/guide/a"/></entry>
        <entry><link rel="alternate" href="{url}/guide/d"/><link/></entry></feed>""",
}


@pytest.mark.parametrize("kind", FEEDS)
def test_a_plain_text_or_a_feed_lists_pages_too(site: Site, kind: str) -> None:
    site.pages["/sitemap.xml"] = FEEDS[kind].format(url=site.url).encode()
    listed = list(source(site).entries())
    assert [(entry.path, entry.refused) for entry in listed] == [(f"{site.url}/guide/{x}", "") for x in "ad"]


@pytest.mark.django_db
def test_a_feed_prunes_nothing_because_it_lists_the_newest_pages_only(site: Site) -> None:
    ingest(site)
    site.pages["/sitemap.xml"] = FEEDS["RSS"].format(url=site.url).replace("/guide/d", "/guide/a").encode()
    for options in (["--prune"], ["--prune", "--dry-run"]):
        with pytest.raises(CommandError, match="newest pages only"):
            ingest(site, *options)
    assert "0 indexed, 1 unchanged" in ingest(site)
    assert Document.objects.live().count() == 2


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><urlset><url><loc>&b;</loc></url></urlset>'
HOSTILE = {
    b"<html>": "no sitemap, but <html>", b"": "broken XML", b"\x1f\x8bbroken": "broken gzip", BOMB: "EntitiesForbidden",
    gzip.compress(b"\0" * 60_000_000): "when unpacked", b"<urlset>" + b"<a>" * 100_000: "16 deep",
    b"<opml><loc>x</loc></opml>": "no sitemap, but <opml>", b"https://a/\nno": "line 2 is no http",
    b"<urlset><url><loc>/a</loc>": "broken XML",
    b"<?xml version='1.0' encoding='klingon'?><urlset/>": "broken XML",
    b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><urlset><url><loc>&x;</loc></url></urlset>": "ExternalReference",
    b"<urlset>" + b"<url><loc>/a</loc></url>" * 50_001 + b"</urlset>": "more than 50,000 addresses",
    b"<urlset>" + b"<a/>" * 2_000_001: "more than 2,000,000 elements",
    b"https://a/\n" + b"\n" * 2_000_001: "more than 2,000,000 lines",
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), HOSTILE.items(), ids=HOSTILE.values())
def test_a_hostile_sitemap_is_refused(site: Site, content: bytes, said: str) -> None:
    site.pages["/sitemap.xml"] = content
    with pytest.raises(SourceUnavailable, match=said):
        list(source(site).entries())


def test_a_sitemap_that_takes_too_long_to_parse_holds_no_worker(site: Site, settings: Any) -> None:
    settings.FABRA_READER_TIMEOUT_S = 1
    names = b" ".join(b'a%d=""' % number for number in range(2_000_000))  # a long time in one call of the parser
    site.pages["/sitemap.xml"] = b"<urlset><a " + names + b"/></urlset>"
    with pytest.raises(SourceUnavailable, match="took longer than 1 s"):
        list(source(site).entries())


def test_addresses_in_any_writing_may_take_as_many_bytes_as_a_sitemap_has() -> None:
    listed = [f"https://help.example/{number}{'ж' * 400}" for number in range(40_000)]
    assert parse_isolated(parse_sitemap, "\n".join(listed).encode()) == ["pages", listed]


@pytest.mark.django_db
def test_what_is_hostile_inside_is_named_in_the_run_and_the_rest_is_read(site: Site) -> None:
    ingest(site)
    hostile = {f"/bad{number}.xml": content for number, content in enumerate(HOSTILE)}
    site.pages |= hostile
    site.redirects = {"/moved.xml": "http://10.0.0.1/sitemap.xml"}
    odd = [
        "file:///etc/passwd",
        "https://elsewhere.test/s.xml",
        "http://[",
        "/private/s.xml",
        "/moved.xml",
        "ftp://x/y",
    ]
    site.pages["/sitemap.xml"] = site.sitemap("/one.xml", *hostile, *odd, tag="sitemapindex")
    with pytest.raises(CommandError, match=r"Not pruned: .*/bad0.xml was not read"):
        ingest(site, "--prune")
    assert Document.objects.live().count() == 2
    run = IngestionRun.objects.first()
    assert run is not None
    reasons = dict(run.files.filter(state=IngestionFile.State.FAILED).values_list("path", "reason"))
    for path, said in zip(hostile, HOSTILE.values(), strict=True):
        assert said in reasons[f"{site.url}{path}"]
    assert {reasons[url] for url in ("file:///etc/passwd", "ftp://x/y")} == {"a sitemap no http or https address"}
    assert reasons["https://elsewhere.test/s.xml"] == "a sitemap of another host"
    assert reasons["http://["] == "a sitemap no valid address"
    assert "robots.txt forbids it" in reasons[f"{site.url}/private/s.xml"]
    assert "leads to http://10.0.0.1/sitemap.xml, which is of another host" in reasons[f"{site.url}/moved.xml"]
    assert run.files.get(path=f"{site.url}/guide/a").state != IngestionFile.State.FAILED


def test_sitemaps_without_end_have_an_end(site: Site) -> None:
    for number in range(9):
        site.pages[f"/s{number}.xml"] = site.sitemap(f"/s{number + 1}.xml", f"/s{number}.xml", tag="sitemapindex")
    site.pages["/sitemap.xml"] = site.pages["/s0.xml"]
    [entry] = source(site).entries()
    assert entry.path.endswith("/s3.xml") and "nested more than 3 deep" in entry.refused
    site.pages["/sitemap.xml"] = site.sitemap(*(f"/x{number}.xml" for number in range(300)), tag="sitemapindex")
    site.pages |= {f"/x{number}.xml": site.sitemap(f"/page{number}") for number in range(300)}
    refused = [entry.refused for entry in source(site).entries()]
    assert len(refused) == 200 and [reason for reason in refused if reason] == [refused[0]]
    assert "more than 200" in refused[0]


def test_addresses_that_are_none_are_named(site: Site) -> None:
    long = "/" + "x" * 3000
    site.pages["/sitemap.xml"] = site.sitemap("http://[", "http://x:99999/", long, "javascript:x", "/a b", "//other/x")
    reasons = [entry.refused for entry in source(site).entries()]
    assert reasons == [
        "no valid address", "no valid address", "an address of more than 2,000 characters",
        "no http or https address", "", "of another host",
    ]  # fmt: skip


def test_addresses_of_pictures_are_no_pages(site: Site) -> None:
    site.pages["/sitemap.xml"] = (
        b'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/'
        b'sitemap-image/1.1"><url><loc>\n/guide/a#top\n</loc><image:image><image:loc>/a.png</image:loc></image:image></url>'
        b"<url><loc>/guide/a</loc></url></urlset>"
    )
    assert [entry.path for entry in source(site).entries()] == [f"{site.url}/guide/a"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("http://169.254.169.254/latest", "leads to http://169.254.169.254/latest, which is of another host"),
        ("file:///etc/passwd", "which is no http or https address"), ("/guide/x", "leads in a circle"),
        ("/private/b", "which is robots.txt forbids it"), ("http://[", "no valid address"),
        ("//other.test/a", "of another host"),
    ],
)  # fmt: skip
def test_a_redirect_is_refused_by_name(site: Site, target: str, said: str) -> None:
    site.redirects = {"/guide/x": target}
    assert said in unread(site, f"{site.url}/guide/x")


def test_redirects_within_the_host_are_followed_for_a_while(site: Site) -> None:
    site.redirects = {f"/r{number}": f"/r{number + 1}" for number in range(9)} | {"/r9": "/guide/a"}
    assert b"Text of a" in source(site).fetch(f"{site.url}/r7").content
    assert unread(site, f"{site.url}/r0") == "more than 5 redirects"
    site.redirects["/sitemap.xml"] = "http://169.254.169.254/latest"
    with pytest.raises(SourceUnavailable, match="another host"):
        list(source(site).entries())


def test_a_server_that_drips_is_left(site: Site) -> None:
    opened = source(site, page_s=0.5)
    assert b"Text of a" in opened.fetch(f"{site.url}/guide/a").content
    site.is_dripping = True
    with pytest.raises(Unreadable, match="took longer than"):
        opened.fetch(f"{site.url}/guide/d")


def test_an_answer_that_unpacks_to_more_is_refused(site: Site, settings: Any) -> None:
    settings.FABRA_FILE_MAX_BYTES = 1_000_000
    site.pages |= {"/bomb": gzip.compress(b"\0" * 60_000_000), "/ok": gzip.compress(b"<p>Text."), "/br": b"x"}
    site.headers = {path: {"Content-Encoding": "gzip"} for path in ("/bomb", "/ok")}
    site.headers |= {"/br": {"Content-Encoding": "gzip, gzip, gzip"}, "/bad": {"Content-Encoding": "gzip"}}
    site.pages["/bad"] = b"x" * 99
    assert unread(site, f"{site.url}/bomb") == "more than 1,000,000 bytes"
    assert source(site).fetch(f"{site.url}/ok").content == b"<p>Text."
    assert "which was not asked for" in unread(site, f"{site.url}/br")
    assert unread(site, f"{site.url}/bad") == "broken gzip"


@pytest.mark.django_db
def test_the_charset_of_the_header_is_heeded(site: Site) -> None:
    texts = {"/ru": ("windows-1251", "Возврат денег"), "/de": ("ISO-8859-1", "Gebühr für Überseepakete")}
    for path, (charset, text) in texts.items():
        site.pages[path] = f"<main><p>{text}</p></main>".encode(charset)
        site.headers[path] = {"Content-Type": f"text/html; charset={charset}"}
    site.pages["/sitemap.xml"] = site.sitemap(*texts)
    ingest(site)
    assert {document.text for document in Document.objects.live()} == {text for _, text in texts.values()}


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "0", "[::1]", "[::ffff:127.0.0.1]",
             "[64:ff9b::7f00:1]", "[64:ff9b:1::1]", "[2002:7f00:1::1]", "169.254.169.254", "192.0.2.7", "224.0.0.1"],
)  # fmt: skip
def test_private_addresses_are_not_asked(host: str, site: Site) -> None:
    port = site.url.rpartition(":")[2]
    with pytest.raises(SourceUnavailable, match="private address"):
        list(Sitemap(f"http://{host}:{port}/sitemap.xml").entries())
    assert site.asked == []


def test_a_default_port_is_the_same_host() -> None:
    opened = Sitemap("https://EXAMPLE.test/sitemap.xml")
    assert opened._web.reason("https://example.test:443/a") == ""
    assert opened._web.reason("https://user@example.test/a") == ""
    assert opened._web.reason("http://example.test/a") == "of another host"
    opened = Sitemap("https://bücher.test/sitemap.xml")
    assert opened._web.reason("https://xn--bcher-kva.test./a") == ""


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("https://e.test", "HTTPS://E.test:443/"), ("https://e.test/caf%C3%A9", "https://e.test/caf%c3%a9"),
        ("https://e.test/caf%C3%A9?q=a%2fb", "https://e.test/café?q=a%2Fb"), ("http://e.test/%7Ebob", "http://e.test:80/~bob"),
    ],
)  # fmt: skip
def test_the_spellings_of_an_address_are_one_page(one: str, same: str) -> None:
    assert normalized(one) == normalized(same)


def test_addresses_that_may_be_two_pages_are_two() -> None:
    paths = ["a", "a/", "A", "a?b=1&c=2", "a?c=2&b=1", "a?b=1", "a%2Fb", "a/b", "a%20b", "a+b", "a%3Fb", "a?b"]
    assert len({normalized(f"https://e.test/{path}") for path in paths}) == len(paths)
    assert normalized("https://[e") == "https://[e"


@pytest.mark.django_db
def test_a_page_that_is_listed_in_several_spellings_is_read_once(site: Site) -> None:
    site.pages["/caf%C3%A9"] = PAGE.format("coffee").encode()
    addresses = [f"{site.url}/caf%C3%A9", f"{site.url.replace('http', 'HTTP', 1)}/caf%c3%a9", f"{site.url}/café#menu"]
    site.pages["/sitemap.xml"] = site.sitemap(*addresses)
    ingest(site)
    assert list(Document.objects.live().values_list("entity_id", flat=True)) == ["caf%C3%A9"]


@pytest.mark.django_db
def test_every_address_is_a_document_of_its_own(site: Site) -> None:
    paths = ["/kb?id=1", "/kb?id=2", "/kb", "/guide", "/guide.pdf", "/guide/", "/v1.3", "/v1.4", "/index.html", "/"]
    site.pages |= {path: PAGE.format(f"page {number}").encode() for number, path in enumerate(paths)}
    site.pages["/sitemap.xml"] = site.sitemap(*(f"{site.url}{path}" for path in paths))
    names = ["kb?id=1", "kb?id=2", "kb", "guide", "guide.pdf", "guide/", "v1.3", "v1.4", "index", f"{site.url}/"]
    for _ in range(2):
        assert "0 unreadable" in ingest(site, "--prune")
        documents = Document.objects.live().order_by("pk")
        found = {document.entity_id: (document.text, document.metadata["url"]) for document in documents}
        assert {name: url for name, (_, url) in found.items()} == {
            name: f"{site.url}{path}" for name, path in zip(names, paths, strict=True)
        }
        assert all(f"Text of page {number}." in found[name][0] for number, name in enumerate(names))


@pytest.mark.django_db
def test_a_page_that_is_gone_is_withdrawn(site: Site) -> None:
    ingest(site)
    site.gone.add("/guide/a")
    assert "/guide/a: withdrawn" in ingest(site, "--prune")
    assert list(Document.objects.live().values_list("entity_id", flat=True)) == ["guide/d"]
