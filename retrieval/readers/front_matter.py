"""Parse front matter: the metadata at the start of a Markdown file, as YAML between --- or TOML between +++."""

import re
import tomllib
from datetime import date, datetime, time
from typing import Any

import yaml

from retrieval.readers.documents import Unreadable

_MAX_CHARS = 20_000
_YAML = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_TOML = re.compile(r"\A\+\+\+[ \t]*\r?\n(.*?)\r?\n\+\+\+[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_BEGINS = re.compile(r"\A(?:---[ \t]*\r?\n[\w.-]+[ \t]*:|\+\+\+[ \t]*\r?\n[\w.-]+[ \t]*=)")


class _Loader(yaml.SafeLoader):
    """Load YAML without aliases, with which a few lines can expand to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases")
        return super().compose_node(parent, index)


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """Return the metadata and the text after it; raise Unreadable for invalid metadata, or if its end is missing."""
    head = text[: _MAX_CHARS + 10]
    found = _YAML.match(head) or _TOML.match(head)
    if found is None:
        if _BEGINS.match(text) and len(text) > _MAX_CHARS:
            raise Unreadable(f"its front matter has no end within {_MAX_CHARS:,} characters")
        return {}, text
    try:
        metadata = tomllib.loads(found[1]) if text.startswith("+++") else yaml.load(found[1], _Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        kind = "TOML" if text.startswith("+++") else "YAML"
        raise Unreadable(f"its front matter is no {kind} ({type(error).__name__})") from None
    if not isinstance(metadata, dict):
        return {}, text
    return {str(key): _plain(value) for key, value in metadata.items()}, text[found.end() :].lstrip("\r\n")


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
