"""The text of Markdown's inline markup as a reader sees it, with the position of each character in the source."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

MAX_INLINE_CHARS = 5_000
"""A longer paragraph counts as it is written: finding its links takes quadratic time."""

_MARKUP = re.compile(r"[\\`*_~\[\]<&!]| {2}\n")
_LINK_END = re.compile(
    r"""\](?:\(\s*(?:<[^<>\n]*>|[^\s()]*(?:\([^\s()]*\)[^\s()]*)*)(?:\s+(?:"[^"]*"|'[^']*'|\([^()]*\)))?\s*\)|\[[^\[\]]*\])?"""
)


class SourceSpan(NamedTuple):
    """Where a part of a block's content stands: from `begin` in the content, from `source` to `limit` in the source."""

    begin: int
    source: int
    limit: int


@dataclass(kw_only=True)
class PlainText:
    """What a reader sees of a paragraph, a heading or a cell; a line break that the reader sees is a newline."""

    text: str = ""
    opaque: str = ""
    """The text with each character of code, and each blank of a link, as "x": no sentence ends inside them."""
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    """Where each character of `text` stands in the source: [starts[i], ends[i])."""

    def source_span(self, start: int, end: int) -> tuple[int, int]:
        """Return where text[start:end], which is not empty, stands in the source, its markup included."""
        first = self.ends[start - 1] if start and self.text[start - 1].isspace() else self.starts[start]
        last = self.starts[end] if end < len(self.text) and self.text[end].isspace() else self.ends[end - 1]
        return first, max(first, last)


def plain_text(content: str, positions: Sequence[SourceSpan], parser: MarkdownIt, env: dict[str, Any]) -> PlainText:
    """Return the plain text of a block's inline content.

    `positions` are where its lines stand, in order; `env` has the link definitions.
    """
    if len(content) > MAX_INLINE_CHARS or not _MARKUP.search(content):
        flat = content.replace("\n", " ")
        plain = PlainText(text=flat, opaque=flat, starts=list(range(len(flat))), ends=list(range(1, len(flat) + 1)))
    else:
        tokens: list[Token] = []
        parser.inline.parse(content, parser, env, tokens)
        plain = _aligned(content, tokens)
    _move(plain, positions)
    return plain


def _aligned(content: str, tokens: Iterable[Token]) -> PlainText:
    """Find each token's text in the content, from the end of the one before it."""
    flat = content.replace("\n", " ")
    plain, at = PlainText(), 0
    texts: list[str] = []
    opaque: list[str] = []
    links = 0

    def add(shown: str, start: int, end: int, kind: str) -> None:
        texts.append(shown)
        is_link = links or kind == "image"
        opaque.append("x" * len(shown) if kind == "code_inline" else shown.replace(" ", "x") if is_link else shown)
        verbatim = len(shown) == end - start
        length = len(shown)
        plain.starts.extend(range(start, end) if verbatim else [start] * length)
        plain.ends.extend(range(start + 1, end + 1) if verbatim else [end] * length)

    for token in tokens:
        if token.type in ("softbreak", "hardbreak"):
            start = max(at, content.find("\n", at))
            add("\n" if token.type == "hardbreak" else " ", start, start + 1, token.type)
            at = start + 1
        elif token.type in ("text", "text_special", "code_inline", "image"):
            written = token.markup if token.type == "text_special" else token.content
            if written:
                found = flat.find(written, at)
                start, end = (found, found + len(written)) if found >= 0 else (at, at)
                add(token.content, start, end, token.type)
                at = end
            if token.type == "image":
                at = _after_link(flat, at)
            elif token.type == "code_inline":
                at = max(at, flat.find(token.markup, at) + len(token.markup))
        elif token.type == "link_close":
            links -= 1
            at = _after_link(flat, at)
        elif token.type == "link_open":
            links += 1
        elif token.markup and flat.startswith(token.markup, at):
            at += len(token.markup)
    plain.text, plain.opaque = "".join(texts), "".join(opaque)
    if plain.starts:  # opening and closing markup belong to the first and the last character
        plain.starts[0], plain.ends[-1] = 0, len(content)
    return plain


def _after_link(flat: str, at: int) -> int:
    found = _LINK_END.match(flat, at)
    return found.end() if found else at


def _move(plain: PlainText, positions: Sequence[SourceSpan]) -> None:
    """Change offsets in the content to offsets in the source; a line break reaches to the next line's content."""
    for offsets in (plain.starts, plain.ends):  # they never fall, so each span has a run of them
        moved: list[int] = []
        for position, after in zip_longest(positions, positions[1:]):
            end = bisect_left(offsets, after.begin, len(moved)) if after else len(offsets)
            shift, limit = position.source - position.begin, position.limit
            moved += [min(offset + shift, limit) for offset in offsets[len(moved) : end]]
        offsets[:] = moved
