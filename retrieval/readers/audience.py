"""Find the audience that a file names; what may name one that cannot be read is refused, never public."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from retrieval.readers.documents import AudienceUnknown

_HEAD_CHARS = 20_000
_OPENING = re.compile(r"[-+;=]{3,}[^\n]*\n|\{[ \t]*(?:\r?\n|[\"']|\w+[ \t]*:)")
_CLOSING = re.compile(r"\n(?:[-+;=]{3,}|\})")
_RULES = re.compile(r"(?:(?:[^\w\n{<]*|(?:[`~]{3,}|%)[^\n]*)\n)*")
"""Lines above a text that an editor has made of `---`, that begin a block of code, or name a version of YAML."""
_EXPORT = re.compile(r"^export\s+(?:const|let|var)\s+(?:meta(?:data)?|front_?matter)\b[^=\n]*=\s*", re.M | re.I)
_PARAGRAPH_END = re.compile(r"\n[^\w\n]*(?=\n|\Z)")
_DATA = re.compile(r"\s*[\[{,]")
_NOTES = re.compile(
    r"(?:(?:<!--(?:[^-]|-(?!->))*(?:-->|\Z)|<![dD][^<>]*>|\{?/\*(?:[^*]|\*(?!/))*\*/\}?|\[//\]:[^\n]*|\{[^\n]*\})\s*)*"
)
"""What stands above a text and is not shown: comments of HTML, MDX and Markdown, and an object in one line."""
_ENTRY = re.compile(r"[\"']?\w[\w.@$ -]{0,60}[\"']?[ \t]*[:=]")
_CONTINUED = re.compile(r"[ \t]+\S|[-#]")
_AUDIENCE = re.compile(r"^[^\w\n]*audience[^\w\n:=]{0,5}[:=]", re.MULTILINE | re.IGNORECASE)
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
    return "".join(sign for sign in signs if sign == "\n" or unicodedata.category(sign) not in _INVISIBLE)


def check_names(metadata: Mapping[Any, Any]) -> None:
    """Raise Unreadable if an audience is named twice, or within a value: which one counts is not known."""
    if within := next((key for key, value in metadata.items() if isinstance(value, dict) and names_of(value)), None):
        raise AudienceUnknown(f"it names its audience within {str(within)[:40]!r}, where it is no audience")
    if len(found := names_of(metadata)) > 1:
        raise AudienceUnknown(
            f"it names its audience more than once, as {' and '.join(repr(name[:40]) for name in found)}"
        )


def mentions_audience(text: str) -> bool:
    """Return whether a text that cannot be parsed seems to have the audience among its names and values."""
    signs = text if text.isascii() else _visible(text)
    return _KEY.search(signs) is not None


def check_unread(text: str, chars: int = _HEAD_CHARS) -> None:
    """Raise Unreadable if a text without front matter names an audience where front matter would stand.

    That is behind a rule, a comment or empty lines, in a comment, in an object, or in a first paragraph that has
    nothing but names and values.
    """
    head = _from_first_sign(text[:chars] if text.isascii() else _visible(text[:chars]))
    notes = _NOTES.match(head)
    assert notes is not None  # it matches nothing, too
    if _AUDIENCE.search(notes[0]) or mentions_audience(notes[0]):
        raise AudienceUnknown("its first lines name an audience, and are no front matter that can be read")
    head = head[notes.end() :]
    if opening := _OPENING.match(head):
        is_named = _AUDIENCE.search(head) is not None or _is_named_within(head, opening.end())
    else:
        is_named = _is_named_above(head)
    if is_named:
        raise AudienceUnknown("its first lines name an audience, and are no front matter that can be read")


def check_exports(code: str) -> None:
    """Raise Unreadable if metadata that an MDX page exports, as Next.js has it, names an audience: it is code."""
    for found in _EXPORT.finditer(code):
        closing = _CLOSING.search(code, found.end())
        if mentions_audience(code[found.end() : closing.start() if closing else found.end() + _HEAD_CHARS]):
            raise AudienceUnknown("an export names an audience, and is no front matter")


def _from_first_sign(text: str) -> str:
    """Return a text without the white space and the invisible signs that it begins with."""
    signs = (at for at, sign in enumerate(text) if not sign.isspace() and unicodedata.category(sign) not in _INVISIBLE)
    return text[next(signs, len(text)) :]


def _is_named_within(head: str, start: int) -> bool:
    """Return whether data of several names on a line, such as JSON, has the audience among them."""
    closing = _CLOSING.search(head, start)
    lines = head[: closing.start() if closing else len(head)].split("\n")
    return any(mentions_audience(line) for line in lines if _DATA.match(line) or _ENTRY.match(line.lstrip()))


def _is_named_above(head: str) -> bool:
    """Return whether the first paragraph has nothing but names and values, and the audience among them."""
    rules = _RULES.match(head)
    assert rules is not None  # it matches nothing, too
    paragraph = _PARAGRAPH_END.split(head[rules.end() :], maxsplit=1)[0]
    first, *others = paragraph.split("\n")
    if not _ENTRY.match(first) or not all(_ENTRY.match(line) or _CONTINUED.match(line) for line in others if line):
        return False
    return _AUDIENCE.search(paragraph) is not None


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
