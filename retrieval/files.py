"""Read documents from files: Markdown, MDX, plain text and HTML."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings

SUFFIXES = (".md", ".mdx", ".txt", ".html")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_FRONT_MATTER_MAX_CHARS = 20_000


class Unreadable(Exception):
    """The file is no document."""


@dataclass(frozen=True, kw_only=True)
class SourceDocument:
    entity_id: str
    text: str
    title: str
    metadata: dict[str, Any] = field(default_factory=dict)


def find_files(path: Path) -> Iterator[Path]:
    """Yield the readable files below a folder, or the file itself, in order; hidden ones are left out."""
    if path.is_file():
        yield path
        return
    for each in sorted(path.rglob("*")):
        if each.suffix.lower() in SUFFIXES and each.is_file() and not _is_hidden(each.relative_to(path)):
            yield each


def read_document(path: Path, root: Path) -> SourceDocument:
    """Read a file; its id is the path below `root` without the suffix. Raise Unreadable with the reason."""
    size = path.stat().st_size
    if size > settings.FABRA_DOCUMENT_MAX_BYTES:
        raise Unreadable(f"{size:,} bytes, and the limit is {settings.FABRA_DOCUMENT_MAX_BYTES:,}")
    try:
        raw = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8 text") from None
    if "\x00" in raw:
        raise Unreadable("binary, not text")
    base = root if root.is_dir() else root.parent
    relative = path.relative_to(base)
    entity_id = relative.with_suffix("").as_posix()
    if path.suffix.lower() == ".html":
        title, text = _read_html(raw)
        metadata: dict[str, Any] = {}
    else:
        metadata, text = _split_front_matter(raw)
        title = metadata.get("title", "")
    if not text.strip():
        raise Unreadable("empty")
    return SourceDocument(
        entity_id=entity_id, text=text, title=str(title or ""), metadata=metadata | {"path": relative.as_posix()}
    )


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _split_front_matter(raw: str) -> tuple[dict[str, Any], str]:
    found = _FRONT_MATTER.match(raw)
    if not found or len(found[1]) > _FRONT_MATTER_MAX_CHARS:
        return {}, raw
    try:
        metadata = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        raise Unreadable(f"its front matter is no YAML ({type(error).__name__})") from None
    if not isinstance(metadata, dict):
        return {}, raw
    return {str(key): _plain(value) for key, value in metadata.items()}, raw[found.end() :]


def _plain(value: Any) -> Any:
    """Return YAML's value as JSON can say it."""
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


_BLOCKS = {"p", "div", "section", "article", "li", "tr", "pre", "blockquote", "table", "ul", "ol", "br", "dd", "dt"}
_SKIPPED = {"script", "style", "noscript", "template", "svg", "nav", "header", "footer", "aside", "form"}


class _TextOfHtml(HTMLParser):
    """Collects the text of a page as Markdown with its headings, without scripts and navigation."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.title = ""
        self._skipping = 0
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SKIPPED:
            self._skipping += 1
        elif tag == "title":
            self._in_title = True
        elif re.fullmatch(r"h[1-6]", tag):
            self.parts.append(f"\n\n{'#' * int(tag[1])} ")
        elif tag == "li":
            self.parts.append("\n- ")
        elif tag in _BLOCKS:
            self.parts.append("\n" if tag in ("br", "tr", "li") else "\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED:
            self._skipping = max(0, self._skipping - 1)
        elif tag == "title":
            self._in_title = False
        elif tag in _BLOCKS or re.fullmatch(r"h[1-6]", tag):
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        elif not self._skipping:
            self.parts.append(re.sub(r"\s+", " ", data))


def _read_html(raw: str) -> tuple[str, str]:
    parser = _TextOfHtml()
    parser.feed(raw)
    parser.close()
    text = re.sub(r"[ \t]+\n", "\n", "".join(parser.parts))
    return parser.title.strip(), re.sub(r"\n{3,}", "\n\n", text).strip()
