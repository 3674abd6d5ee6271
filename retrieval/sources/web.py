"""Fetch pages of one host over HTTP, within limits of size and time, and only from addresses that may be asked."""

import asyncio
import socket
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx

from common.addresses import special_kind

AGENT = "fabra-ingestion"
PAGE_S = 60.0
"""The time for one page, from the look-up of its name to its last byte, redirects included."""
_TIMEOUT = httpx.Timeout(20.0, connect=5.0)
_REDIRECTS = 5
_PORTS = {"http": 80, "https": 443}
_UNPACKED = ("gzip", "x-gzip", "deflate")


class Refused(Exception):
    """The page is not requested, or its answer is not read; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server answered."""

    status: int
    headers: httpx.Headers
    content: bytes


def origin_of(url: str) -> tuple[str, str, int]:
    """Return (scheme, host, port) of an http or https address; raise Refused for any other."""
    try:
        parts = urlsplit(url)
        host, port = _host(url), parts.port
    except (ValueError, httpx.InvalidURL):
        raise Refused("no valid address") from None
    if parts.scheme not in _PORTS or not host:
        raise Refused("no http or https address")
    return parts.scheme, host, port or _PORTS[parts.scheme]


def _host(url: str) -> str:
    """Return the name of the host as DNS knows it: in ASCII and lower case."""
    return httpx.URL(url).raw_host.decode("ascii").lower().removesuffix(".")


class Web:
    """The pages of one origin."""

    def __init__(self, origin: tuple[str, str, int], *, allow_private: bool, page_s: float = PAGE_S) -> None:
        self._origin = origin
        self._allow_private = allow_private
        self._page_s = page_s
        self._loop = asyncio.new_event_loop()
        self._client: httpx.AsyncClient | None = None

    def get(
        self,
        url: str,
        max_bytes: int,
        headers: dict[str, str] | None = None,
        check: Callable[[str], str] = lambda url: "",
    ) -> Answer:
        """Return the answer, following redirects within the origin.

        `check` returns why an address that a redirect leads to is refused. Raise Refused with the reason, or
        httpx.HTTPError if the server does not answer.
        """
        # The event loop is there for its timeout: a server that sends a byte now and then never lets a read time out.
        return self._loop.run_until_complete(self._within_time(url, max_bytes, headers or {}, check))

    def reason(self, url: str) -> str:
        """Return why an address is not of this origin; "" if it is."""
        try:
            origin = origin_of(url)
        except Refused as refusal:
            return str(refusal)
        return "" if origin == self._origin else "of another host"

    def __del__(self) -> None:
        self._loop.close()

    async def _within_time(self, url: str, max_bytes: int, headers: dict[str, str], check: Any) -> Answer:
        try:
            async with asyncio.timeout(self._page_s):
                return await self._followed(url, max_bytes, headers, check)
        except TimeoutError:
            raise Refused(f"took longer than {self._page_s:.0f} s") from None

    async def _followed(self, url: str, max_bytes: int, headers: dict[str, str], check: Any) -> Answer:
        if reason := self.reason(url):
            raise Refused(reason)
        seen = {url}
        for _ in range(_REDIRECTS):
            answer = await self._requested(url, max_bytes, headers)
            if answer.status not in (301, 302, 303, 307, 308) or "location" not in answer.headers:
                return answer
            url = _target(url, answer.headers["location"])
            if reason := self.reason(url) or check(url):
                raise Refused(f"leads to {url[:200]}, which is {reason}")
            if url in seen:
                raise Refused(f"leads in a circle, back to {url[:200]}")
            seen.add(url)
        raise Refused(f"more than {_REDIRECTS} redirects")

    async def _requested(self, url: str, max_bytes: int, headers: dict[str, str]) -> Answer:
        """Connect to the address that was checked, since a second look-up of the name may return another address."""
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=_TIMEOUT, headers={"User-Agent": AGENT}, follow_redirects=False, trust_env=False
            )
        parts, host = httpx.URL(url), _host(url)
        async with self._client.stream(
            "GET",
            parts.copy_with(host=await self._address(host, self._origin[2])),
            headers={"Host": parts.netloc.decode(), "Accept-Encoding": "gzip", **headers},
            extensions={"sni_hostname": host},
        ) as answer:
            content = b"" if answer.has_redirect_location else await _content(answer, max_bytes)
            return Answer(status=answer.status_code, headers=answer.headers, content=content)

    async def _address(self, host: str, port: int) -> str:
        """Return an address of the host; raise Refused if any of its addresses is not public."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise Refused(f"{host} is not known") from None
        addresses = [str(entry[4][0]) for entry in found]
        for address in [] if self._allow_private else addresses:
            if kind := special_kind(address):
                raise Refused(f"{host} is a private address ({address}: {kind}); --allow-private asks it all the same")
        return addresses[0]


def _target(url: str, location: str) -> str:
    try:
        return urldefrag(urljoin(url, location))[0]
    except ValueError:
        raise Refused("leads to no valid address") from None


async def _content(answer: httpx.Response, max_bytes: int) -> bytes:
    """Return the body, unpacked; raise Refused as soon as it is too large, so that a bomb is never unpacked."""
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", *_UNPACKED):
        raise Refused(f"packed as {encoding[:40]!r}, which was not asked for")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding in _UNPACKED else None
    content = bytearray()
    try:
        async for part in answer.aiter_raw(65_536):
            content += unpacker.decompress(part, max_bytes + 1 - len(content)) if unpacker else part
            if len(content) > max_bytes:
                raise Refused(f"more than {max_bytes:,} bytes")
    except zlib.error:
        raise Refused(f"broken {encoding}") from None
    return bytes(content)
