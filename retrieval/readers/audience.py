"""Find the audience that a file names; what may name one that cannot be read is refused, never public."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from retrieval.readers.documents import AudienceUnknown

_HEAD_CHARS = 20_000
_OPENING = re.compile(r"[-+;=]{3,}[^\n]*\n|\{[ \t]*\r?\n")
_NOTES = re.compile(
    r"(?:(?:<!--(?:[^-]|-(?!->))*(?:-->|\Z)|<![dD][^<>]*>|\{?/\*(?:[^*]|\*(?!/))*\*/\}?|\[//\]:[^\n]*|\{[^\n]*\})\s*)*"
)
"""What stands above a text and is not shown: comments of HTML, MDX and Markdown, and an object in one line."""
_ENTRY = re.compile(r"[\"']?\w[\w.@$ -]{0,60}[\"']?[ \t]*[:=]")
_CONTINUED = re.compile(r"[ \t]+\S|[-#]")
_AUDIENCE = re.compile(r"^[^\w\n]*audience[\"']?[^\S\n]*[:=]", re.MULTILINE | re.IGNORECASE)
_KEY = re.compile(r"(?:^|[{,;])\s*+[\"']?\s*+audience\s*+[\"']?\s*+[:=]", re.IGNORECASE)
_NAME_CHARS = 100
_INVISIBLE = ("Cf", "Cc")


def names_of(keys: Iterable[Any]) -> list[str]:
    """Return the names that mean the audience, whatever their case, such as `Audience`."""
    return [key for key in keys if isinstance(key, str) and _is_name(key)]


def _is_name(key: str) -> bool:
    plain = key[:_NAME_CHARS]
    if not plain.isascii():
        plain = _visible(plain)
    return re.sub(r" \(\d+\)$", "", plain.strip()).casefold() == "audience"  # the second column of a name has a number


def _visible(text: str) -> str:
    """Return a text in its plain form, without invisible signs."""
    signs = unicodedata.normalize("NFKC", text)
    return "".join(sign for sign in signs if unicodedata.category(sign) not in _INVISIBLE)


def check_names(keys: Iterable[Any]) -> None:
    """Raise Unreadable if an audience is named twice: which one counts is not known."""
    if len(found := names_of(keys)) > 1:
        raise AudienceUnknown(
            f"it names its audience more than once, as {' and '.join(repr(name[:40]) for name in found)}"
        )


def mentions_audience(text: str) -> bool:
    """Return whether a text that cannot be parsed seems to have the audience among its names and values."""
    signs = text if text.isascii() else _visible(text)
    return _KEY.search(signs) is not None


def check_unread(text: str) -> None:
    """Raise Unreadable if a text without front matter names an audience where front matter would stand.

    That is behind a rule, a comment or empty lines, in a comment, in an object of one line, or in a first paragraph
    that has nothing but names and values.
    """
    head = text[:_HEAD_CHARS].lstrip("\ufeff\u200b\xa0 \t\r\n\f")
    notes = _NOTES.match(head)
    assert notes is not None  # it matches nothing, too
    if _AUDIENCE.search(notes[0]) or mentions_audience(notes[0]):
        raise AudienceUnknown("its first lines name an audience, and are no front matter that can be read")
    head = head[notes.end() :]
    if not _OPENING.match(head):
        head = re.split(r"\n[ \t]*\r?\n|\n(?:---|\+\+\+)", head, maxsplit=1)[0]
        first, *others = head.split("\n")
        if not _ENTRY.match(first) or not all(_ENTRY.match(line) or _CONTINUED.match(line) for line in others if line):
            return
    if _AUDIENCE.search(head):
        raise AudienceUnknown("its first lines name an audience, and are no front matter that can be read")


def split_audience(metadata: dict[str, Any], default: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the metadata without its audience, and that: a list, or names separated by commas.

    It is `default` where none is named, or the value is empty: null or a text without a name. An empty list is for
    everyone. Any other value is returned unchanged, and indexing refuses it.
    """
    check_names(metadata)
    named = names_of(metadata)
    if not named:
        return metadata, default
    rest = {name: value for name, value in metadata.items() if name != named[0]}
    audience = metadata[named[0]]
    if isinstance(audience, str):
        audience = [name.strip() for name in audience.split(",") if name.strip()] or None
    return rest, default if audience is None else audience
