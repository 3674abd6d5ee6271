"""The input and output types of readers. Readers do without Django: they run in a separate process."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urljoin

from common.text import single_line, storable
from common.validation import is_blank
from retrieval.readers.own_titles import is_generic, own_title

VERSION = 8
"""To be increased when a reader returns a different text for the same file, so that files are read again."""

_EMPTY_MARKUP = re.compile(
    r"<!--[^<>]*-->"
    r"|</?(?:p|br|div|span|h[1-6]|[uo]l|li|b|i|u|em|strong|font|table|t(?:body|head|r|d|h)|section|article)"
    r"(?:\s[^<>]*)?/?>"
    r"|^[ \t]*#{1,6}[ \t\r]*$"
    r"|^(?:[ \t]*[-*>](?=[ \t\r]|$))+(?:[ \t]*\[[ x]?\])?[ \t\r]*$|^[ \t]*(?:`{3,}|~{3,})[ \t\r]*$"
    r"|^[ \t]*\|[|: \t-]*\|[ \t\r]*$|!?\[[ \t]*\]\((?!data:)[^()\s]*\)|\*\*[ \t]*\*\*"
    r"|&(?:nbsp|ensp|emsp|thinsp|shy|zwj|zwnj|#0*(?:160|173|8203)|#x0*(?:a0|ad|200b));",
    re.IGNORECASE | re.MULTILINE,
)
_EMPTY_MAX_CHARS = 10_000


class Unreadable(Exception):
    """The file cannot be read as a document; the message is the reason."""


class Empty(Unreadable):
    """The file is there and has no text (any more): what it said was withdrawn."""


class AudienceUnknown(Unreadable):
    """The file names an audience, and it is not known which: what it said before may not be for all who find it."""


@dataclass(frozen=True, kw_only=True)
class FetchedFile:
    """A file as a source returned it: the input of a reader."""

    path: str
    """Relative to the source, with slashes."""
    content: bytes
    url: str = ""
    """The address it was fetched from; empty for files."""
    content_type: str = ""
    validators: dict[str, str] = field(default_factory=dict)
    """The response's ETag and Last-Modified, for the conditional request of the next run."""
    name: str = ""
    """The id of its document, or the beginning of those of its rows; empty: the path without the suffix."""
    name_codec: str = ""
    """The encoding that was guessed for its path; empty where it is known."""

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.path).suffix.lower()

    @property
    def entity_id(self) -> str:
        return self.name or self.stem

    @property
    def stem(self) -> str:
        """The path without the suffix."""
        return PurePosixPath(self.path).with_suffix("").as_posix()


@dataclass(frozen=True, kw_only=True)
class ReadDocument:
    """A document as a reader found it in a file."""

    entity_id: str
    text: str
    title: str
    metadata: dict[str, Any] = field(default_factory=dict)
    ends: dict[str, Any] = field(default_factory=dict)
    """How a page begins and ends, to be compared with the other pages of its source; see `repeated.Ends`."""


@dataclass(frozen=True, kw_only=True)
class ReadWarning:
    """What a reader left out, or could only guess; the file's documents are indexed all the same."""

    code: str
    """A stable name of the kind, such as `pages_without_text`."""
    message: str
    """What was left out, how much and why: a sentence for the person who ingests the file."""
    hides_rows: bool = False
    """Some of a table's rows may be within others: one that is missing is not known to be gone, and is not pruned."""

    def to_dict(self) -> dict[str, str]:
        """Return what is stored of it, and shown."""
        return {"code": self.code, "message": storable(self.message)}


@dataclass(frozen=True, kw_only=True)
class Options:
    """How readers treat a file."""

    mapping: dict[str, str] = field(default_factory=dict)
    """For tables: the column of each role, `text`, `title` and `id`."""
    base_url: str = ""
    """The address of the pages: each document's link is this and its path without the suffix."""
    repeated: Sequence[str] = ()
    """Digests of what other pages of the source begin and end with, too, and what pages are read without."""


def says_nothing(text: str) -> bool:
    """Return whether a reader would see nothing of a text: it is blank, or the markup of an editor that was emptied."""
    return is_blank(text) or (len(text) <= _EMPTY_MAX_CHARS and is_blank(_EMPTY_MARKUP.sub("", text)))


def properties_of(found: Mapping[str, str | None]) -> dict[str, str]:
    """Return what a file's own properties say, each in one line, without those that say nothing of it."""
    lines = {name: single_line(storable(value or "")) for name, value in found.items()}
    lines |= {"title": own_title(lines["title"])} if "title" in lines else {}
    return {name: line for name, line in lines.items() if line and not is_generic(line)}


def document(file: FetchedFile, text: str, title: str, metadata: dict[str, Any], options: Options) -> ReadDocument:
    """Return the document of a file, with its path and the link to its page; raise Empty if it has no text."""
    if says_nothing(text):
        raise Empty("empty")
    link = _link(file, metadata, options)
    return ReadDocument(
        entity_id=file.entity_id,
        text=text,
        title=title.strip(),
        metadata=metadata | {"path": file.path} | ({"url": link} if link else {}),
    )


def _link(file: FetchedFile, metadata: dict[str, Any], options: Options) -> str:
    for name in ("url", "canonical_url"):
        if isinstance(metadata.get(name), str) and metadata[name]:
            return _absolute(metadata[name], file, options)
    if file.url or not options.base_url:
        return file.url or _edit_url(metadata)
    page = PurePosixPath(file.stem)
    page = page.parent if page.name in ("index", "README") else page
    return f"{options.base_url.rstrip('/')}/{quote(page.as_posix())}".removesuffix("/.")


def _absolute(link: str, file: FetchedFile, options: Options) -> str:
    """Return a link relative to the page, or to the address of the pages, as an absolute one."""
    base = file.url or (f"{options.base_url.rstrip('/')}/" if options.base_url else "")
    try:
        return urljoin(base, link)
    except ValueError:  # no address at all; nothing links to it
        return link


def _edit_url(metadata: dict[str, Any]) -> str:
    """Return the link to the page's source file, if its front matter names it, else ""."""
    if isinstance(metadata.get("edit_url"), str):
        return str(metadata["edit_url"])
    parts = [metadata.get(f"github_{name}") for name in ("repo", "branch", "path")]
    if all(isinstance(part, str) and part for part in parts):
        return "https://github.com/{}/blob/{}/{}".format(*parts)
    return ""
