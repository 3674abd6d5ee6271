"""Addresses that come from documents: what a page may link to."""

import re
from typing import Any
from urllib.parse import urlsplit

_MAX_CHARS = 2000
# No white space, control or invisible characters, nothing that ends an attribute or a link in Markdown.
_ADDRESS = re.compile(
    r"https?://[^\s<>\"'`\\{}|^\x00-\x20\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]+", re.IGNORECASE
)


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


def markdown_link(text: str, address: str) -> str:
    """Return a Markdown link, or the text alone without an address; `address` is one that `safe_link` returned.

    Brackets in the text are escaped, so that it neither ends the link nor reads as the number of a source.
    """
    escaped = re.sub(r"([\\\[\]])", r"\\\1", " ".join(text.split()))
    return f"[{escaped}](<{address}>)" if address else escaped
