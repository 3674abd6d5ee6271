"""Split a document into chunks that the embedder reads whole, each with its heading path."""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass

from markdown_it import MarkdownIt
from semantic_text_splitter import MarkdownSplitter

from retrieval.embedders import Embedder

_HEADER_TOKENS = 48
"""The room kept for title and headings, which are embedded with each chunk."""
_SMALLEST_SHARE = 0.45
"""A chunk this full ends at the next good boundary, so that sections do not run together."""

_markdown = MarkdownIt("commonmark")


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    position: int
    text: str
    """The document's own words, unchanged."""
    heading_path: str
    embedded_text: str
    """Title and headings, then the text: what the embedder reads."""
    token_count: int
    content_hash: str


def split(title: str, text: str, embedder: Embedder) -> list[Passage]:
    """Return the passages in order; each fits the embedder's limit by the embedder's own tokens.

    A text without a word is one passage of that text. Nothing but white space between passages is left out.
    """
    room = embedder.max_tokens - _HEADER_TOKENS
    splitter = MarkdownSplitter.from_callback(embedder.count_tokens, (int(room * _SMALLEST_SHARE), room))
    headings = _headings(text)
    starts = [start for start, _ in headings]
    passages = []
    for position, (start, piece) in enumerate(splitter.chunk_indices(text)):
        # A heading at the very start of the piece belongs to its path.
        place = bisect_right(starts, start) - 1
        path = headings[place][1] if place >= 0 else ""
        passages.append(_passage(position, title, path, piece, embedder))
    return passages


def _passage(position: int, title: str, path: str, text: str, embedder: Embedder) -> Passage:
    path = path.removeprefix(title).removeprefix(" > ") if path.startswith(title) else path
    header = " > ".join(part for part in (title, path) if part)
    while header and embedder.count_tokens(header) > _HEADER_TOKENS - 2:
        header = header[: len(header) * 3 // 4]
    embedded = f"{header}\n{text}" if header and not text.lstrip("# ").startswith(header) else text
    return Passage(
        position=position,
        text=text,
        heading_path=path[:1000],
        embedded_text=embedded,
        token_count=embedder.count_tokens(embedded),
        content_hash=hashlib.sha256(embedded.encode()).hexdigest(),
    )


def _headings(text: str) -> list[tuple[int, str]]:
    """Return (offset, heading path) for each heading, in order."""
    line_starts = [0]
    for line in text.splitlines(keepends=True):
        line_starts.append(line_starts[-1] + len(line))
    found: list[tuple[int, str]] = []
    path: list[tuple[int, str]] = []
    tokens = _markdown.parse(text)
    for token, inline in zip(tokens, tokens[1:], strict=False):
        if token.type == "heading_open" and token.map and token.level == 0:
            level = int(token.tag[1])
            path = [part for part in path if part[0] < level] + [(level, inline.content.strip())]
            offset = line_starts[min(token.map[0], len(line_starts) - 1)]
            found.append((offset, " > ".join(name for _, name in path if name)))
    return found


def title_of(text: str) -> str:
    """Return the document's first heading of the first level, else ""."""
    tokens = _markdown.parse(text[:20_000])
    for token, inline in zip(tokens, tokens[1:], strict=False):
        if token.type == "heading_open" and token.tag == "h1":
            return inline.content.strip()[:500]
    return ""
