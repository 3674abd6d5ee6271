"""Streamed Markdown: each block is rendered once, as soon as no later text can change it."""

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString
from markdown_it import MarkdownIt

from common.markdown import ALL_SOURCES, render

_LINE_END = re.compile(r"\r\n?|\n")
_BLANK_LINE = re.compile(r"(?:^|[\r\n])[ \t]*[\r\n]")
# A list continues after a blank line, and so does indented code; only the next block ends them.
_ENDED_BY_BLANK_LINE = {"blockquote_open", "fence", "heading_open", "hr", "paragraph_open", "table_open"}
# The budget of characters to parse again, for each one that arrives: it keeps the total time linear.
_PARSED_PER_CHAR = 8
_PARSED_AT_FIRST = 20_000

_blocks = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["inline", "text_join"], ignoreInvalid=True)


@dataclass(frozen=True, kw_only=True)
class Block:
    html: SafeString
    length: int
    """How much of the text is rendered up to here, in UTF-16 code units, as a browser counts."""


def finished_chars(text: str) -> int:
    """Return how many characters of a growing text are top-level blocks that no later text can change."""
    # The last line may still change its meaning: "1" may become a list, "==" a heading.
    complete = text[: text.rfind("\n") + 1]
    tops = [token for token in _blocks.parse(complete) if token.level == 0 and token.map]
    if not tops:
        return 0
    ends = [found.end() for found in _LINE_END.finditer(complete)]
    first_line, end_line = tops[-1].map or (0, 0)
    if tops[-1].type in _ENDED_BY_BLANK_LINE and end_line < len(ends):
        line_after = complete[ends[end_line - 1] : ends[end_line]]
        if not line_after.strip(" \t\r\n"):
            return ends[end_line]
    return ends[first_line - 1] if first_line else 0


class MarkdownStream:
    """Render a text as it arrives."""

    def __init__(self, sources: Container[int] = ALL_SOURCES) -> None:
        self._sources = sources
        self._rest = ""
        self._length = 0
        self._parse_budget = _PARSED_AT_FIRST
        self._references: dict[str, Any] = {}

    def add(self, piece: str) -> Block | None:
        """Add the next piece; return the blocks that it completes, or None."""
        self._rest += piece
        self._parse_budget += _PARSED_PER_CHAR * len(piece)
        if "\n" not in piece or len(self._rest) > self._parse_budget:
            return None
        self._parse_budget -= len(self._rest)
        return self._take(finished_chars(self._rest)) if _BLANK_LINE.search(self._rest) else None

    def end(self) -> Block | None:
        """Return the rest of the text as a block, or None if nothing is left."""
        return self._take(len(self._rest))

    def _take(self, chars: int) -> Block | None:
        if not chars:
            return None
        done, self._rest = self._rest[:chars], self._rest[chars:]
        self._length += len(done.encode("utf-16-le", "surrogatepass")) // 2
        return Block(html=render(done, self._sources, self._references), length=self._length)
