"""Split a Markdown text into the pieces that chunks are composed of."""

import itertools
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from semantic_text_splitter import TextSplitter

# Only blocks are parsed: inline markup costs time and changes no boundary.
_markdown = MarkdownIt("commonmark").enable("table").disable(["inline", "text_join"], ignoreInvalid=True)
_LINE_END = re.compile(r"\r\n?|\n")
# The end of a line is looked for from the first of its spaces only: a long run of spaces would else be read for each.
_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+|(?<=[。！？])\s*|(?<![^\S\r\n])[^\S\r\n]*+[\r\n]\s*")

# Ranks of boundaries, lower is better to split at; a heading's rank is its level, 1 to 6.
_BLOCK, _NESTED, _AFTER_INTRODUCTION, _INSIDE, _AFTER_HEADING = 10, 20, 25, 30, 40

_SENTENCE_MIN_CHARS = 40
_WINDOW_CHARS = 2000
_WINDOW = re.compile(rf".{{1,{_WINDOW_CHARS}}}(?:\s+|\Z)|.{{1,{_WINDOW_CHARS}}}", re.DOTALL)
_MAX_CHARS_PER_TOKEN = 20


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the text that is not split: [start, end) of the text, with the white space after it."""

    start: int
    end: int
    tokens: int
    rank: int
    """The rank of its start as a boundary; lower is better to split at."""
    lead: str = ""
    """The text that a chunk beginning here repeats: the header of the table, or the opening line of the code."""
    lead_tokens: int = 0


class Heading(NamedTuple):
    """A heading: its offset in the text, and its path of headings."""

    start: int
    path: str


@dataclass(frozen=True)
class Blocks:
    """The blocks of a text, parsed as CommonMark with tables."""

    text: str

    @cached_property
    def line_starts(self) -> list[int]:
        return [0, *(found.end() for found in _LINE_END.finditer(self.text))]

    @cached_property
    def tree(self) -> SyntaxTreeNode:
        return SyntaxTreeNode(_markdown.parse(self.text))

    def start_of(self, node: SyntaxTreeNode) -> int:
        assert node.map is not None
        return self.offset(node.map[0])

    def offset(self, line: int) -> int:
        return self.line_starts[line] if line < len(self.line_starts) else len(self.text)

    def headings(self) -> list[Heading]:
        """Return the headings in order, each with the path of headings above it."""
        found: list[Heading] = []
        path: list[tuple[int, str]] = []
        for node in self.tree.children:
            if node.type == "heading":
                level = int(node.tag[1])
                path = [part for part in path if part[0] < level] + [(level, _content(node))]
                found.append(Heading(self.start_of(node), " > ".join(name for _, name in path if name)))
        return found

    def title(self) -> str:
        """Return the first heading of level 1, anywhere in the text; else ""."""
        return next((_content(node) for node in self.tree.walk() if node.type == "heading" and node.tag == "h1"), "")

    def pieces(self, count_tokens: Callable[[str], int], max_tokens: int) -> list[Piece]:
        """Return pieces that cover the text without gaps; each has at most `max_tokens`."""
        return _PieceMaker(self, count_tokens, max_tokens).pieces()


@dataclass(frozen=True)
class _PieceMaker:
    blocks: Blocks
    count_tokens: Callable[[str], int]
    max_tokens: int

    def pieces(self) -> list[Piece]:
        nodes = [node for node in self.blocks.tree.children if node.map is not None]
        return list(self._of_nodes(nodes, 0, len(self.blocks.text), _BLOCK))

    def _of_nodes(self, nodes: list[SyntaxTreeNode], start: int, end: int, rank: int) -> Iterator[Piece]:
        """Yield the pieces of adjacent blocks; the text between two blocks belongs to the first."""
        starts = [start, *(self.blocks.start_of(node) for node in nodes[1:]), end]
        if not nodes:
            yield from self._of_text(start, end, rank)
        for index, node in enumerate(nodes):
            own_rank = _rank(node, nodes[index - 1] if index else None, rank)
            if starts[index] < starts[index + 1]:
                yield from self._of_node(node, starts[index], starts[index + 1], own_rank)

    def _of_node(self, node: SyntaxTreeNode, start: int, end: int, rank: int) -> Iterator[Piece]:
        if self._fits(start, end, self.max_tokens):
            yield Piece(start, end, self.count_tokens(self.blocks.text[start:end]), rank)
            return
        inner = [child for child in node.children if child.map is not None] if node.type not in _LEAVES else []
        if node.type in ("fence", "code_block", "table"):
            yield from self._of_lines(node, start, end, rank)
        elif inner:
            first, *others = self._of_nodes(inner, start, end, _NESTED)
            yield Piece(first.start, first.end, first.tokens, rank, first.lead, first.lead_tokens)
            yield from others
        else:
            yield from self._of_text(start, end, rank)

    def _of_lines(self, node: SyntaxTreeNode, start: int, end: int, rank: int) -> Iterator[Piece]:
        """Yield a table's rows or the lines of code, each with the table's header or the code's opening line."""
        text, starts = self.blocks.text, self.blocks.line_starts
        assert node.map is not None
        head_lines = {"table": 2, "fence": 1}.get(node.type, 0)
        lead_end = self.blocks.offset(node.map[0] + head_lines)
        lead = text[start:lead_end]
        lead_tokens = self.count_tokens(lead)
        if lead_tokens > self.max_tokens // 3:
            lead, lead_tokens, lead_end = "", 0, start
        lines = starts[bisect_right(starts, max(lead_end, start)) : bisect_right(starts, end - 1)]
        if node.type != "table":
            lines = _spaced(lines, max(lead_end, start))
        cuts = [start, *lines, end]
        for number, (begin, stop) in enumerate(itertools.pairwise(cuts)):
            if number == 0:
                yield from self._of_text(begin, stop, rank)
                continue
            for piece in self._of_text(begin, stop, _INSIDE, self.max_tokens - lead_tokens):
                yield Piece(piece.start, piece.end, piece.tokens, piece.rank, lead, lead_tokens)

    def _of_text(self, start: int, end: int, rank: int, max_tokens: int = 0) -> Iterator[Piece]:
        """Yield sentences and lines; one that is too long is cut between words, or inside a word that is too long."""
        max_tokens = max_tokens or self.max_tokens
        for begin, stop in self._sentences(start, end, max_tokens):
            for piece in self._fitting(begin, stop, max_tokens):
                yield Piece(*piece, rank)
                rank = _INSIDE

    def _sentences(self, start: int, end: int, max_tokens: int) -> Iterator[tuple[int, int]]:
        if self._fits(start, end, max_tokens):
            yield start, end
            return
        begin = start
        for found in _SENTENCE_END.finditer(self.blocks.text, start, end):
            if found.end() - begin >= _SENTENCE_MIN_CHARS:
                yield begin, found.end()
                begin = found.end()
        if begin < end:
            yield begin, end

    def _fitting(self, start: int, end: int, max_tokens: int) -> Iterator[tuple[int, int, int]]:
        """Yield (start, end, tokens) of parts that fit: the whole, or windows that the library cuts between words."""
        text = self.blocks.text
        windows = (
            [end] if end - start <= _WINDOW_CHARS else [found.end() for found in _WINDOW.finditer(text, start, end)]
        )
        for stop in windows:
            tokens = self.count_tokens(text[start:stop])
            if tokens <= max_tokens:
                yield start, stop, tokens
            else:
                splitter = TextSplitter.from_callback(self.count_tokens, max_tokens, trim=False)
                parts = splitter.chunk_indices(text[start:stop])
                ends = [start + offset for offset, _ in parts[1:]]
                begin = start
                for cut in [*ends, stop]:
                    yield begin, cut, self.count_tokens(text[begin:cut])
                    begin = cut
            start = stop

    def _fits(self, start: int, end: int, max_tokens: int) -> bool:
        # A text with this many characters is cut in any case; counting a megabyte at each level would take seconds.
        return end - start <= max_tokens * _MAX_CHARS_PER_TOKEN and (
            self.count_tokens(self.blocks.text[start:end]) <= max_tokens
        )


_LEAVES = {"paragraph", "heading", "fence", "code_block", "html_block", "hr", "table"}


def _spaced(cuts: list[int], last: int) -> list[int]:
    """Return the cuts without those that would leave a piece of less than _SENTENCE_MIN_CHARS."""
    kept = []
    for cut in cuts:
        if cut - last >= _SENTENCE_MIN_CHARS:
            kept.append(cut)
            last = cut
    return kept


def _rank(node: SyntaxTreeNode, previous: SyntaxTreeNode | None, rank: int) -> int:
    if previous is not None and previous.type == "heading" and _belongs_under(node, previous):
        return _AFTER_HEADING
    if node.type == "heading":
        return int(node.tag[1]) if rank == _BLOCK else rank
    if previous is None:
        return rank
    if previous.type == "paragraph" and _content(previous).endswith(":"):
        return max(rank, _AFTER_INTRODUCTION)
    return rank


def _belongs_under(node: SyntaxTreeNode, heading: SyntaxTreeNode) -> bool:
    return node.type != "heading" or node.tag > heading.tag


def _content(node: SyntaxTreeNode) -> str:
    return node.children[0].content.strip() if node.children else ""
