"""Fetch the pages of a sitemap: only from its own host, as robots.txt allows, and not from private addresses."""

import re
import time
from collections import deque
from collections.abc import Iterator
from urllib.parse import quote, urldefrag, urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import httpx
from django.conf import settings

from common.errors import InvalidInput
from common.outgoing import Refused, ServerResponse, origin_of
from retrieval.readers import Empty, FetchedFile, Unreadable
from retrieval.readers.isolation import parse_isolated
from retrieval.readers.page_lists import MAX_BYTES, PageListKind, parse_sitemap
from retrieval.sources.entries import UNREAD_LIST, Entry, NotModified, SourceUnavailable
from retrieval.sources.web import AGENT, PAGE_S, Web

_ROBOTS_MAX_BYTES = 512_000
_LISTING_S = 1800.0
_MAX_SITEMAPS = 200
_MAX_DEPTH = 3
_MAX_PAGES = 50_000
_URL_MAX_CHARS = 2000
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_ASCII = "".join(map(chr, range(33, 127)))
_VALIDATORS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}


class Sitemap:
    """The pages that a sitemap lists, as a source; raise InvalidInput for an address that is not http or https."""

    def __init__(self, url: str, *, allow_private: bool = False, page_s: float = PAGE_S) -> None:
        try:
            origin = origin_of(url)
        except Refused as refusal:
            raise InvalidInput(f"{url} is {refusal}.") from None
        self.location = url
        self.is_partial = False
        self._web = Web(origin, allow_private=allow_private, page_s=page_s)
        self._robots: RobotFileParser | None = None

    def entries(self) -> Iterator[Entry]:
        """Yield the pages of the sitemap and its nested sitemaps; what is not read is refused by name.

        Raise SourceUnavailable if the sitemap or robots.txt cannot be read, or a nested sitemap does not answer.
        """
        pending, sitemaps, pages = deque([(self.location, 1)]), {normalized(self.location)}, set[str]()
        give_up_at = time.monotonic() + _LISTING_S
        while pending:
            sitemap, depth = pending.popleft()
            try:
                kind, found = self._read_sitemap(sitemap)
            except Refused as refusal:
                if depth == 1:
                    raise SourceUnavailable(f"{sitemap} cannot be read: {refusal}.") from None
                yield _entry(sitemap, f"{UNREAD_LIST}{refusal}")
                continue
            is_index = kind == PageListKind.SITEMAPS
            self.is_partial |= kind == PageListKind.FEED
            for url, reason in self._new(found, sitemaps if is_index else pages, give_up_at):
                if not is_index:
                    yield _entry(url, reason)
                elif reason := f"a sitemap {reason}" if reason else _too_many(depth, len(sitemaps)):
                    yield _entry(url, reason)
                    if len(sitemaps) > _MAX_SITEMAPS:
                        break
                else:
                    pending.append((url, depth + 1))

    def _new(self, found: list[str], known: set[str], give_up_at: float) -> Iterator[tuple[str, str]]:
        """Yield the addresses that were not known, in full, and why they are not requested; add them to the known.

        Of several that mean one page the first is it.
        """
        for address in found:
            url, reason = self._resolved(address)
            if time.monotonic() > give_up_at:
                raise SourceUnavailable(f"The sitemap took longer than {_LISTING_S:.0f} s.")
            if (page := normalized(url)) not in known:
                known.add(page)
                if len(known) > _MAX_PAGES:
                    raise SourceUnavailable(f"The sitemap has more than {_MAX_PAGES:,} pages.")
                yield url, reason

    def fetch(self, path: str, validators: dict[str, str] | None = None) -> FetchedFile:
        if reason := self._resolved(path)[1]:
            raise Unreadable(reason)
        headers = {_VALIDATORS[name]: value for name, value in (validators or {}).items() if name in _VALIDATORS}
        try:
            answer = self._web.get(path, settings.FABRA_FILE_MAX_BYTES, headers, self._disallowed)
        except Refused as refusal:
            raise Unreadable(str(refusal)) from None
        except httpx.HTTPError as error:
            raise Unreadable(f"it does not answer ({type(error).__name__})") from None
        if answer.status == httpx.codes.NOT_MODIFIED:
            raise NotModified
        if answer.status == httpx.codes.GONE:
            raise Empty("HTTP 410")
        if answer.status != httpx.codes.OK:
            raise Unreadable(f"HTTP {answer.status}")
        return FetchedFile(
            path=urlsplit(path).path.strip("/") or "index",
            content=answer.content,
            url=path,
            content_type=answer.headers.get("content-type", "text/html"),
            validators={name: answer.headers[name] for name in _VALIDATORS if name in answer.headers},
        )

    def _resolved(self, url: str) -> tuple[str, str]:
        """Return an address in full, and why it is not requested: another host, robots.txt; else ""."""
        try:
            url = urldefrag(urljoin(self.location, url))[0]
        except ValueError:
            return url, "no valid address"
        if len(url) > _URL_MAX_CHARS:
            return url, f"an address of more than {_URL_MAX_CHARS:,} characters"
        return url, self._web.reason(url) or self._disallowed(url)

    def _disallowed(self, url: str) -> str:
        if self._robots is None:
            try:
                answer = self._answer(urljoin(self.location, "/robots.txt"), _ROBOTS_MAX_BYTES)
            except Refused as refusal:
                raise SourceUnavailable(f"robots.txt cannot be read: {refusal}.") from None
            if answer.status >= 500:
                raise SourceUnavailable(f"robots.txt answers with HTTP {answer.status}.")
            self._robots = RobotFileParser()
            is_there = answer.status == httpx.codes.OK
            self._robots.parse(answer.content.decode("utf-8-sig", "replace").splitlines() if is_there else [])
        return "" if self._robots.can_fetch(AGENT, url) else "robots.txt forbids it"

    def _read_sitemap(self, url: str) -> tuple[PageListKind, list[str]]:
        answer = self._answer(url, MAX_BYTES)
        if answer.status != httpx.codes.OK:
            raise SourceUnavailable(f"{url} answers with HTTP {answer.status}.")
        try:
            kind, found = parse_isolated(parse_sitemap, answer.content)
        except Unreadable as error:
            raise Refused(str(error)) from None
        return PageListKind(kind), found

    def _answer(self, url: str, max_bytes: int) -> ServerResponse:
        try:
            return self._web.get(url, max_bytes)
        except httpx.HTTPError as error:
            raise SourceUnavailable(f"{url} cannot be read: {str(error) or type(error).__name__}.") from None


def _entry(url: str, refused: str) -> Entry:
    return Entry(path=url[:_URL_MAX_CHARS], refused=refused)


def normalized(url: str) -> str:
    """Return the form of an address that is equal for all that mean one page (RFC 3986, section 6.2)."""
    try:
        parts = urlsplit(url)
        origin = origin_of(f"{parts.scheme}://{parts.netloc}")  # the whole address would take twice the time
        path, query = (_ESCAPE.sub(_unescaped, quote(part, safe=_ASCII)) for part in (parts.path or "/", parts.query))
    except (ValueError, Refused):
        return url
    return f"{origin} {path}?{query}"


def _unescaped(escape: re.Match[str]) -> str:
    """Return a percent-encoded letter, digit or one of -._~ as itself; another sign in capitals."""
    sign = chr(int(escape[0][1:], 16))
    return sign if sign.isascii() and (sign.isalnum() or sign in "-._~") else escape[0].upper()


def _too_many(depth: int, count: int) -> str:
    """Return why a sitemap that an index at this depth lists is not read; "" if it is."""
    if depth >= _MAX_DEPTH:
        return f"{UNREAD_LIST}nested more than {_MAX_DEPTH} deep"
    if count > _MAX_SITEMAPS:
        return f"{UNREAD_LIST}there are more than {_MAX_SITEMAPS}; those after it are not read either"
    return ""
