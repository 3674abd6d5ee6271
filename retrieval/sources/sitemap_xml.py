"""Parse sitemaps, which may be hostile: without a tree in memory, without entities, and within limits."""

import gzip
import io
import zlib
from typing import Any
from xml.sax import SAXException
from xml.sax.handler import ContentHandler, feature_namespaces

from defusedxml import DefusedXmlException
from defusedxml.sax import make_parser

from common.outgoing import Refused

MAX_BYTES = 52_428_800  # what the protocol allows
MAX_LOCATIONS = 50_000  # also the protocol's
_MAX_DEPTH = 16
_URL_MAX_CHARS = 8_000


def parse_sitemap(content: bytes) -> tuple[bool, list[str]]:
    """Return whether it lists other sitemaps, and the addresses it lists; raise Refused for what is no sitemap."""
    handler = _Locations()
    parser = make_parser()
    parser.setContentHandler(handler)
    parser.setFeature(feature_namespaces, True)
    try:
        parser.parse(io.BytesIO(_unpacked(content)))
    except DefusedXmlException as error:
        raise Refused(f"no sitemap ({type(error).__name__})") from None
    except (SAXException, ValueError, LookupError):
        raise Refused("no sitemap, but broken XML") from None
    return handler.is_index, handler.found


class _Locations(ContentHandler):
    """Collect the text of each `loc` that is a child of `url` or `sitemap`; other `loc` are those of pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.is_index = False
        self.found: list[str] = []
        self._open: list[str] = []
        self._text: list[str] | None = None

    def startElementNS(self, name: Any, qname: Any, attributes: Any) -> None:  # noqa: N802 (the interface's)
        local = name[1]
        if not self._open and local not in ("urlset", "sitemapindex"):
            raise Refused(f"no sitemap, but <{local[:40]}>")
        self.is_index |= not self._open and local == "sitemapindex"
        if len(self._open) >= _MAX_DEPTH:
            raise Refused(f"no sitemap: elements more than {_MAX_DEPTH} deep")
        if local == "loc" and self._open[-1:] in (["url"], ["sitemap"]):
            self._text = []
        self._open.append(local)

    def characters(self, content: str) -> None:
        if self._text is not None and sum(map(len, self._text)) < _URL_MAX_CHARS:
            self._text.append(content)

    def endElementNS(self, name: Any, qname: Any) -> None:  # noqa: N802 (the interface's)
        self._open.pop()
        if self._text is not None and name[1] == "loc":
            if url := "".join(self._text).strip():
                self.found.append(url)
            self._text = None
            if len(self.found) > MAX_LOCATIONS:
                raise Refused(f"more than {MAX_LOCATIONS:,} addresses")


def _unpacked(content: bytes) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            unpacked = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise Refused("no sitemap, but broken gzip") from None
    if len(unpacked) > MAX_BYTES:
        raise Refused(f"more than {MAX_BYTES:,} bytes when unpacked")
    return unpacked
