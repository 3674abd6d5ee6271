"""Addresses that come from documents: what a page may link to."""

import re
from typing import Any, Protocol
from urllib.parse import urlsplit

_MAX_CHARS = 2000
# No white space, control or invisible characters, nothing that ends an attribute or a link in Markdown.
_SIGNS = r"[^\s<>\"'`\\{}|^\x00-\x20\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]"
_ADDRESS = re.compile(rf"https?://{_SIGNS}+", re.IGNORECASE)
_PATH = re.compile(rf"/(?!/){_SIGNS}*")  # two slashes begin the name of another host


class Asked(Protocol):
    """A request, of Django or of REST framework."""

    def build_absolute_uri(self, location: str | None = None) -> str: ...


def safe_link(value: Any) -> str:
    """Return an absolute http or https address as it is; "" for anything else, such as one that hides its host."""
    if not isinstance(value, str) or len(value) > _MAX_CHARS or not _ADDRESS.fullmatch(value):
        return ""
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        return ""
    return value if parts.hostname and "@" not in parts.netloc else ""


def page_link(value: Any) -> str:
    """Return what a page of this site may link to: what `safe_link` returns, or a path from the site's root."""
    is_path = isinstance(value, str) and len(value) <= _MAX_CHARS and _PATH.fullmatch(value)
    return value if is_path else safe_link(value)


def absolute_link(link: str, request: Asked) -> str:
    """Return what `page_link` returned for a client elsewhere: a path is of the host that was asked, an allowed one.

    Nothing of it is stored but answers to retries, since anybody may have asked by any of ALLOWED_HOSTS.
    """
    return request.build_absolute_uri(link) if link.startswith("/") else link


def markdown_link(text: str, address: str) -> str:
    """Return a Markdown link, or the text alone without an address; `address` is one that `safe_link` returned.

    Brackets in the text are escaped, so that it neither ends the link nor reads as the number of a source.
    """
    escaped = re.sub(r"([\\\[\]])", r"\\\1", " ".join(text.split()))
    return f"[{escaped}](<{address}>)" if address else escaped
