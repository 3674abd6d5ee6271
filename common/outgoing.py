"""Ask other people's servers over HTTP: only at addresses that were checked, within limits of size and time."""

import asyncio
import socket
import ssl
import zlib
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from common.addresses import special_kind

PORTS = {"http": 80, "https": 443}
_TIMEOUT = httpx.Timeout(20.0, connect=5.0)
_UNPACKED = ("gzip", "x-gzip", "deflate")

T = TypeVar("T")


class Refused(Exception):
    """The request is not made, or its answer is not read; the message is the reason, `code` names it."""

    def __init__(self, reason: str, code: str = "refused") -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class ServerResponse:
    """What a server answered."""

    status: int
    headers: httpx.Headers
    content: bytes


def origin_of(url: str) -> tuple[str, str, int]:
    """Return (scheme, host, port) of an http or https address; raise Refused for any other."""
    try:
        parts = urlsplit(url)
        host, port = host_of(url), parts.port
    except (ValueError, httpx.InvalidURL):
        raise Refused("no valid address", "address_invalid") from None
    if parts.scheme not in PORTS or not host:
        raise Refused("no http or https address", "address_invalid")
    return parts.scheme, host, port or PORTS[parts.scheme]


@cache
def _trusted() -> ssl.SSLContext:
    """Return the certificates that are trusted, which take 20 ms to read: once for a process, not for each client."""
    return httpx.create_ssl_context(trust_env=False)


def host_of(url: str) -> str:
    """Return the name of the host as DNS knows it: in ASCII and lower case."""
    return httpx.URL(url).raw_host.decode("ascii").lower().removesuffix(".")


class CheckedClient:
    """An HTTP client that connects to the address it has checked, and follows no redirect.

    A second look-up of the name, between the check and the connection, might return another address.
    """

    def __init__(
        self, *, agent: str, allow_private: bool, private_hint: str, is_https_required: bool = False,
        timeout: httpx.Timeout = _TIMEOUT,
    ) -> None:  # fmt: skip
        """`private_hint` says how private addresses are allowed; with `is_https_required` only they are asked by http.

        The limits of `timeout` are for single steps, such as one read; `run` limits the whole.
        """
        self._allow_private = allow_private
        self._private_hint = private_hint
        self._is_https_required = is_https_required
        self._options: dict[str, Any] = {"timeout": timeout, "headers": {"User-Agent": agent}}
        self._loop = asyncio.new_event_loop()
        self._client: httpx.AsyncClient | None = None

    def run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Return the result of a coroutine that makes requests; raise Refused if it takes longer.

        The event loop is there for this: a server that sends a byte now and then never lets a read time out.
        """
        return self._loop.run_until_complete(_within(work, seconds))

    def close(self) -> None:
        if not self._loop.is_closed():
            if self._client is not None:
                self._loop.run_until_complete(self._client.aclose())
            self._loop.close()

    def __del__(self) -> None:
        self._loop.close()

    async def request(
        self, method: str, url: str, *, max_bytes: int, headers: dict[str, str], content: bytes | None = None,
        is_cut: bool = False,
    ) -> ServerResponse:  # fmt: skip
        """Return the answer; raise Refused with the reason, or httpx.HTTPError if the server does not answer.

        With `is_cut` the content of a longer answer ends after `max_bytes`; otherwise it is refused.
        """
        if self._client is None:
            self._client = httpx.AsyncClient(
                follow_redirects=False, trust_env=False, verify=_trusted(), **self._options
            )
        parts, (scheme, host, port) = httpx.URL(url), origin_of(url)
        async with self._client.stream(
            method,
            parts.copy_with(host=await self._address(scheme, host, port)),
            content=content,
            headers={"Host": parts.netloc.decode(), "Accept-Encoding": "gzip", **headers},
            extensions={"sni_hostname": host},
        ) as answer:
            body = b"" if answer.has_redirect_location else await _content(answer, max_bytes, is_cut)
            return ServerResponse(status=answer.status_code, headers=answer.headers, content=body)

    async def _address(self, scheme: str, host: str, port: int) -> str:
        """Return an address of the host; raise Refused if any of its addresses may not be asked."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise Refused(f"{host} is not known", "host_unknown") from None
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            kind = special_kind(address)
            if kind and not self._allow_private:
                reason = f"{host} is a private address ({address}: {kind}); {self._private_hint}"
                raise Refused(reason, "address_private")
            if not kind and self._is_https_required and scheme != "https":
                raise Refused(f"{host} is a public address, which is asked over https only", "https_required")
        return addresses[0]


def is_of_tls(error: BaseException | None) -> bool:
    """Return whether an error comes from TLS, such as a certificate that is not trusted."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


async def _within(work: Coroutine[Any, Any, T], seconds: float) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise Refused(f"took longer than {seconds:.0f} s", "timeout") from None


async def _content(answer: httpx.Response, max_bytes: int, is_cut: bool) -> bytes:
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
                if is_cut:
                    break
                raise Refused(f"more than {max_bytes:,} bytes")
    except zlib.error:
        raise Refused(f"broken {encoding}") from None
    return bytes(content[:max_bytes])
