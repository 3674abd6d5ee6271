"""Fetch pages of one host, following redirects within it."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urldefrag, urljoin

from common.outgoing import CheckedClient, Refused, ServerResponse, origin_of

AGENT = "fabra-ingestion"
PAGE_S = 60.0
"""The time for one page, from the look-up of its name to its last byte, redirects included."""
_REDIRECTS = 5


class Web:
    """The pages of one origin."""

    def __init__(self, origin: tuple[str, str, int], *, allow_private: bool, page_s: float = PAGE_S) -> None:
        self._origin = origin
        self._page_s = page_s
        hint = "--allow-private asks it all the same"
        self._client = CheckedClient(agent=AGENT, allow_private=allow_private, private_hint=hint)

    def get(
        self,
        url: str,
        max_bytes: int,
        headers: dict[str, str] | None = None,
        check: Callable[[str], str] = lambda url: "",
    ) -> ServerResponse:
        """Return the answer, following redirects within the origin.

        `check` returns why an address that a redirect leads to is refused. Raise Refused with the reason, or
        httpx.HTTPError if the server does not answer.
        """
        return self._client.run(self._followed(url, max_bytes, headers or {}, check), self._page_s)

    def reason(self, url: str) -> str:
        """Return why an address is not of this origin; "" if it is."""
        try:
            origin = origin_of(url)
        except Refused as refusal:
            return str(refusal)
        return "" if origin == self._origin else "of another host"

    async def _followed(self, url: str, max_bytes: int, headers: dict[str, str], check: Any) -> ServerResponse:
        if reason := self.reason(url):
            raise Refused(reason)
        seen = {url}
        for _ in range(_REDIRECTS):
            answer = await self._client.request("GET", url, max_bytes=max_bytes, headers=headers)
            if answer.status not in (301, 302, 303, 307, 308) or "location" not in answer.headers:
                return answer
            url = _target(url, answer.headers["location"])
            if reason := self.reason(url) or check(url):
                raise Refused(f"leads to {url[:200]}, which is {reason}")
            if url in seen:
                raise Refused(f"leads in a circle, back to {url[:200]}")
            seen.add(url)
        raise Refused(f"more than {_REDIRECTS} redirects")


def _target(url: str, location: str) -> str:
    try:
        return urldefrag(urljoin(url, location))[0]
    except ValueError:
        raise Refused("leads to no valid address") from None
