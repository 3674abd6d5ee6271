"""Fetch the pages of a sitemap: only from its own host, as robots.txt allows, and not from private addresses."""

import gzip
import io
import ipaddress
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import httpx
from defusedxml import DefusedXmlException, ElementTree
from django.conf import settings

from common.errors import InvalidInput
from retrieval.readers import Empty, FetchedFile, Unreadable
from retrieval.sources.entries import Entry, NotModified, SourceUnavailable

_AGENT = "fabra-ingestion"
_TIMEOUT = httpx.Timeout(20.0, connect=5.0)
_PAGE_S = 60.0
_REDIRECTS = 5
_SITEMAP_MAX_BYTES = 52_428_800  # what the protocol allows
_MAX_SITEMAPS = 200
_MAX_PAGES = 50_000
_URL_MAX_CHARS = 2000


class _Refused(Exception):
    """The address is not requested."""


class Sitemap:
    """The pages that a sitemap lists, as a source; raise InvalidInput for an address that is not http or https."""

    def __init__(self, url: str, *, allow_private: bool = False) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"{url} is no http or https address.")
        self.location = url
        self._origin = (parts.scheme, parts.netloc.lower())
        self._allow_private = allow_private
        self._client = httpx.Client(
            timeout=_TIMEOUT, headers={"User-Agent": _AGENT}, follow_redirects=False, trust_env=False
        )
        self._robots: RobotFileParser | None = None

    def entries(self) -> Iterator[Entry]:
        """Yield the pages of the sitemap and its nested sitemaps; a page of another host is refused.

        Raise SourceUnavailable if a sitemap or robots.txt cannot be read.
        """
        pending, seen, pages = [self.location], {self.location}, set()
        while pending:
            root = self._sitemap(pending.pop(0))
            for element in root.iter():
                if not isinstance(element.tag, str) or element.tag.rpartition("}")[2] != "loc" or not element.text:
                    continue
                url = urljoin(self.location, element.text.strip())
                if root.tag.rpartition("}")[2] == "sitemapindex":
                    if url not in seen and len(seen) < _MAX_SITEMAPS and not self._reason(url):
                        seen.add(url)
                        pending.append(url)
                elif url not in pages:
                    pages.add(url)
                    if len(pages) > _MAX_PAGES:
                        raise SourceUnavailable(f"The sitemap has more than {_MAX_PAGES:,} pages.")
                    is_long = len(url) > _URL_MAX_CHARS
                    refused = f"an address of more than {_URL_MAX_CHARS:,} characters" if is_long else self._reason(url)
                    yield Entry(path=url[:_URL_MAX_CHARS], refused=refused)

    def fetch(self, path: str, validators: dict[str, str] | None = None) -> FetchedFile:
        if reason := self._reason(path):
            raise Unreadable(reason)
        request_headers = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
        headers = {request_headers[k]: value for k, value in (validators or {}).items() if k in request_headers}
        try:
            answer, content = self._get(path, settings.FABRA_FILE_MAX_BYTES, headers)
        except _Refused as error:
            raise Unreadable(str(error)) from None
        except httpx.HTTPError as error:
            raise Unreadable(f"it does not answer ({type(error).__name__})") from None
        if answer.status_code == httpx.codes.NOT_MODIFIED:
            raise NotModified
        if answer.status_code == httpx.codes.GONE:
            raise Empty("HTTP 410")
        if answer.status_code != httpx.codes.OK:
            raise Unreadable(f"HTTP {answer.status_code}")
        return FetchedFile(
            path=urlsplit(path).path.strip("/") or "index",
            content=content,
            url=path,
            content_type=answer.headers.get("content-type", "text/html"),
            validators={name: answer.headers[name] for name in request_headers if name in answer.headers},
        )

    def _reason(self, url: str) -> str:
        """Return why a page is not requested: it is on another host, or robots.txt forbids it; else ""."""
        parts = urlsplit(url)
        if (parts.scheme, parts.netloc.lower()) != self._origin:
            return "of another host"
        return "" if self._allowed(url) else "robots.txt forbids it"

    def _allowed(self, url: str) -> bool:
        if self._robots is None:
            self._robots = RobotFileParser()
            try:
                answer, content = self._get(urljoin(self.location, "/robots.txt"), 512_000)
            except (_Refused, httpx.HTTPError) as error:
                raise SourceUnavailable(f"robots.txt cannot be read: {error}") from None
            if answer.status_code >= 500:
                raise SourceUnavailable(f"robots.txt answers with HTTP {answer.status_code}.")
            is_there = answer.status_code == httpx.codes.OK
            self._robots.parse(content.decode(errors="replace").splitlines() if is_there else [])
        return self._robots.can_fetch(_AGENT, url)

    def _sitemap(self, url: str) -> Any:
        try:
            answer, content = self._get(url, _SITEMAP_MAX_BYTES)
            if answer.status_code != httpx.codes.OK:
                raise SourceUnavailable(f"{url} answers with HTTP {answer.status_code}.")
            if content.startswith(b"\x1f\x8b"):
                content = _unpacked(content)
            return ElementTree.fromstring(content)
        except (_Refused, httpx.HTTPError) as error:
            raise SourceUnavailable(f"{url} cannot be read: {str(error) or type(error).__name__}.") from None
        except (ElementTree.ParseError, DefusedXmlException, OSError, EOFError, zlib.error) as error:
            raise SourceUnavailable(f"{url} is no sitemap ({type(error).__name__}).") from None

    def _get(self, url: str, max_bytes: int, headers: dict[str, str] | None = None) -> tuple[httpx.Response, bytes]:
        """Request a page, following redirects within its host; raise _Refused if it is too large or forbidden."""
        for _ in range(_REDIRECTS):
            with self._request(url, headers or {}) as answer:
                if answer.has_redirect_location:
                    url = urljoin(url, answer.headers.get("location", ""))
                    continue
                give_up_at, content = time.monotonic() + _PAGE_S, bytearray()
                for part in answer.iter_bytes(65536):
                    content += part
                    if len(content) > max_bytes:
                        raise _Refused(f"more than {max_bytes:,} bytes")
                    if time.monotonic() > give_up_at:
                        raise _Refused(f"took longer than {_PAGE_S:.0f} s")
                return answer, bytes(content)
        raise _Refused("too many redirects")

    @contextmanager
    def _request(self, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Connect to the address that was checked, since a second look-up of the name may return another address."""
        parts = httpx.URL(url)
        if (parts.scheme, parts.netloc.decode().lower()) != self._origin:
            raise _Refused("it leads to another host")
        address = self._address(parts.host, parts.port or {"http": 80, "https": 443}[parts.scheme])
        with self._client.stream(
            "GET",
            parts.copy_with(host=address),
            headers={"Host": parts.netloc.decode(), **headers},
            extensions={"sni_hostname": parts.host},
        ) as answer:
            yield answer

    def _address(self, host: str, port: int) -> str:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise _Refused(f"{host} is not known") from None
        addresses = [str(entry[4][0]) for entry in found]
        if not self._allow_private and any(
            not ipaddress.ip_address(address.split("%")[0]).is_global for address in addresses
        ):
            raise _Refused(f"{host} is a private address; --allow-private asks it all the same")
        return addresses[0]


def _unpacked(content: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        text = stream.read(_SITEMAP_MAX_BYTES + 1)
    if len(text) > _SITEMAP_MAX_BYTES:
        raise SourceUnavailable("The sitemap is too large when unpacked.")
    return text
