"""What readers take and give. No reader needs Django: the risky ones run in a process of their own."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

VERSION = 1
"""Raised when a reader gives another text for the same file, so that files are read again."""


class Unreadable(Exception):
    """The file is no document; the message says why."""


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    path: str
    """Below the source, with slashes."""
    content: bytes
    url: str = ""
    """Where it was fetched from."""
    content_type: str = ""
    validators: dict[str, str] = field(default_factory=dict)
    """What to ask with whether it has changed: ETag and Last-Modified."""

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.path).suffix.lower()

    @property
    def entity_id(self) -> str:
        """The path without the suffix."""
        return PurePosixPath(self.path).with_suffix("").as_posix()


@dataclass(frozen=True, kw_only=True)
class SourceDocument:
    entity_id: str
    text: str
    title: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Options:
    mapping: dict[str, str] = field(default_factory=dict)
    """For tables: which column is `text`, `title` or `id`."""
    base_url: str = ""
    """The pages' address: the path below it, without suffix, is each document's link."""


def document(file: SourceFile, text: str, title: str, metadata: dict[str, Any], options: Options) -> SourceDocument:
    """Return the one document of a file, with its path and the link back to it; raise Unreadable if it is empty."""
    if not text.strip():
        raise Unreadable("empty")
    link = _link(file, metadata, options)
    return SourceDocument(
        entity_id=file.entity_id,
        text=text,
        title=title.strip(),
        metadata=metadata | {"path": file.path} | ({"url": link} if link else {}),
    )


def decode(content: bytes) -> str:
    """Return UTF-8 text, or UTF-16 with its mark; raise Unreadable for anything else."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8 text") from None
    if "\x00" in text:
        raise Unreadable("binary, not text")
    return text


def _link(file: SourceFile, metadata: dict[str, Any], options: Options) -> str:
    for name in ("url", "canonical_url"):
        if isinstance(metadata.get(name), str) and metadata[name]:
            return str(metadata[name])
    if file.url or not options.base_url:
        return file.url or _edit_url(metadata)
    page = PurePosixPath(file.entity_id)
    page = page.parent if page.name in ("index", "README") else page
    return f"{options.base_url.rstrip('/')}/{quote(page.as_posix())}".removesuffix("/.")


def _edit_url(metadata: dict[str, Any]) -> str:
    """Return the link to the page's own source, where its front matter names that."""
    if isinstance(metadata.get("edit_url"), str):
        return str(metadata["edit_url"])
    parts = [metadata.get(f"github_{name}") for name in ("repo", "branch", "path")]
    if all(isinstance(part, str) and part for part in parts):
        return "https://github.com/{}/blob/{}/{}".format(*parts)
    return ""


def split_audience(metadata: dict[str, Any], default: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the metadata without its `audience`, and that: a list, or names with commas between; else the default.

    What is neither, nor a list of names, is left for the index to refuse.
    """
    if "audience" not in metadata:
        return metadata, default
    rest = {name: value for name, value in metadata.items() if name != "audience"}
    audience = metadata["audience"]
    if isinstance(audience, str):
        audience = [name.strip() for name in audience.split(",") if name.strip()]
    return rest, [] if audience is None else audience
