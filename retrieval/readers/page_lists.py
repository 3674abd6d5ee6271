"""Parse lists of pages, which may be hostile: without a tree in memory, without entities, and within limits.

A list is a sitemap of XML or of plain text (one address a line), as sitemaps.org has them, or a feed of RSS or Atom.
"""

import gzip
import io
import re
import zlib
from enum import StrEnum
from typing import Any
from xml.sax import SAXException
from xml.sax.handler import ContentHandler, feature_namespaces

from defusedxml import DefusedXmlException
from defusedxml.sax import make_parser

from retrieval.readers.documents import Unreadable


class PageListKind(StrEnum):
    PAGES = "pages"
    SITEMAPS = "sitemaps"
    FEED = "feed"
    """The newest pages only."""


MAX_BYTES = 52_428_800  # what the protocol allows
MAX_LOCATIONS = 50_000  # also the protocol's
_MAX_DEPTH = 16
_MAX_ELEMENTS = 2_000_000
"""The most elements of one list, or lines of text: forty for each address. Each costs time; MAX_BYTES allows more."""
_URL_MAX_CHARS = 8_000
_SCHEME = re.compile(rb"(?:\xef\xbb\xbf)?\s*https?://", re.IGNORECASE)
_ROOTS = {
    "urlset": PageListKind.PAGES,
    "sitemapindex": PageListKind.SITEMAPS,
    "rss": PageListKind.FEED,
    "RDF": PageListKind.FEED,
    "feed": PageListKind.FEED,
}
_ADDRESSES = {("url", "loc"), ("sitemap", "loc"), ("item", "link"), ("entry", "link")}
"""The elements with addresses, each after the one it is in."""


def parse_sitemap(content: bytes) -> tuple[PageListKind, list[str]]:
    """Return what it lists, and the addresses; raise Unreadable for what is no sitemap."""
    content = _unpacked(content)
    if _SCHEME.match(content):
        return PageListKind.PAGES, _lines(content)
    handler = _Locations()
    parser = make_parser()
    parser.setContentHandler(handler)
    parser.setFeature(feature_namespaces, True)
    try:
        parser.parse(io.BytesIO(content))
    except DefusedXmlException as error:
        raise Unreadable(f"no sitemap ({type(error).__name__})") from None
    except (SAXException, ValueError, LookupError):
        raise Unreadable("no sitemap, but broken XML") from None
    return handler.kind, handler.found


def _lines(content: bytes) -> list[str]:
    """Return the addresses of a plain text, one a line."""
    found = []
    for number, line in enumerate(io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", "replace"), 1):
        if number > _MAX_ELEMENTS:
            raise Unreadable(f"more than {_MAX_ELEMENTS:,} lines")
        if not (url := line.strip()):
            continue
        if not _SCHEME.match(url.encode()):
            raise Unreadable(f"no sitemap: line {number} is no http or https address")
        found.append(url)
        if len(found) > MAX_LOCATIONS:
            raise Unreadable(f"more than {MAX_LOCATIONS:,} addresses")
    return found


class _Locations(ContentHandler):
    """Collect the addresses of pages: other elements of the same names are those of pictures or of the feed itself."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = PageListKind.PAGES
        self.found: list[str] = []
        self._elements = 0
        self._open: list[str] = []
        self._text: list[str] | None = None
        self._chars = 0

    def startElementNS(self, name: Any, qname: Any, attributes: Any) -> None:  # noqa: N802 (the interface's)
        local = name[1]
        self._elements += 1
        if self._elements > _MAX_ELEMENTS:
            raise Unreadable(f"more than {_MAX_ELEMENTS:,} elements")
        if not self._open and local not in _ROOTS:
            raise Unreadable(f"no sitemap, but <{local[:40]}>")
        self.kind = self.kind if self._open else _ROOTS[local]
        if len(self._open) >= _MAX_DEPTH:
            raise Unreadable(f"no sitemap: elements more than {_MAX_DEPTH} deep")
        within = (self._open or [""])[-1]
        if (within, local) in _ADDRESSES and self._text is None:
            self._text, self._chars = [], 0
            if within == "entry":
                values = {key[1]: value for key, value in attributes.items()}
                self._text = [values.get("href", "")[:_URL_MAX_CHARS]] if _is_page(values) else None
        self._open.append(local)

    def characters(self, content: str) -> None:
        # Counted as it comes: each `&#65;` is a call of its own.
        if self._text is not None and self._chars < _URL_MAX_CHARS:
            self._text.append(content)
            self._chars += len(content)

    def endElementNS(self, name: Any, qname: Any) -> None:  # noqa: N802 (the interface's)
        self._open.pop()
        if self._text is not None and name[1] in ("loc", "link"):
            if url := "".join(self._text).strip():
                self.found.append(url)
            self._text = None
            if len(self.found) > MAX_LOCATIONS:
                raise Unreadable(f"more than {MAX_LOCATIONS:,} addresses")


def _is_page(link: dict[str, str]) -> bool:
    """Return whether a link of Atom leads to the entry's page, and not to a comment or an enclosure."""
    return link.get("rel", "alternate") == "alternate"


def _unpacked(content: bytes) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            unpacked = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise Unreadable("no sitemap, but broken gzip") from None
    if len(unpacked) > MAX_BYTES:
        raise Unreadable(f"more than {MAX_BYTES:,} bytes when unpacked")
    return unpacked
