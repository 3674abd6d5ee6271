"""Parse front matter: the metadata at the start of a Markdown file, as YAML between --- or TOML between +++.

A document may begin with a rule (`---`) as well, so a head is taken off only when its content says that it is one.
"""

import re
import tomllib
from datetime import date, datetime, time
from typing import Any, NamedTuple

from retrieval.readers.audience import check_names, check_unread
from retrieval.readers.documents import ReadWarning
from retrieval.readers.yaml_head import NoHead, parse_yaml

_MAX_CHARS = 20_000
_OPENING = re.compile(r"(---|\+\+\+)[ \t]*(?:\r?\n|\Z)")
_CLOSING = {
    "---": re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.MULTILINE),
    "+++": re.compile(r"^\+\+\+[ \t]*(?:\r?\n|\Z)", re.MULTILINE),
}
_BEGINS = {"---": re.compile(r"[\w.-]+[ \t]*:"), "+++": re.compile(r"[\w.-]+[ \t]*=")}


class FrontMatter(NamedTuple):
    """The metadata of a file, the text below it, and what could not be read of it."""

    metadata: dict[str, Any]
    text: str
    warnings: list[ReadWarning]


def split_front_matter(text: str) -> FrontMatter:
    """Return the metadata and the text after it; without a head, or with one that is no metadata, the whole text.

    Raise Unreadable if the first lines name an audience that cannot be read: the text may not be for everyone.
    """
    opening = _OPENING.match(text)
    if opening is None:
        return _as_text(text, "")
    mark, start = opening[1], opening.end()
    closing = _CLOSING[mark].search(text, start, start + _MAX_CHARS)
    head = text[start : closing.start() if closing else start + _MAX_CHARS]
    looks_like_one = _BEGINS[mark].match(head) is not None
    if closing is None:
        far = _CLOSING[mark].search(text, start) if looks_like_one else None
        check_unread(text, far.start() if far else 0)
        return _as_text(text, "it has no end" if looks_like_one else "")
    try:
        metadata, warnings = _toml(head) if mark == "+++" else parse_yaml(head)
    except NoHead as error:
        return _as_text(text, str(error) if looks_like_one else "")
    body = text[closing.end() :]
    check_names(metadata)
    if not metadata or _OPENING.match(body.lstrip()):  # a second one below that of a generator
        check_unread(body)
    return FrontMatter({key: _plain(value) for key, value in metadata.items()}, body.lstrip("\r\n"), warnings)


def _as_text(text: str, why: str) -> FrontMatter:
    check_unread(text)
    message = f"The front matter was read as text: {why}."
    return FrontMatter({}, text, [ReadWarning(code="front_matter_as_text", message=message)] if why else [])


def _toml(head: str) -> tuple[dict[str, Any], list[ReadWarning]]:
    try:
        return tomllib.loads(head.replace("\r\n", "\n")), []
    except (ValueError, RecursionError) as error:
        raise NoHead(f"it is no TOML ({type(error).__name__})") from None


def _plain(value: Any) -> Any:
    """Return the value converted to what JSON can represent."""
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
