"""Split a Markdown text into the pieces that chunks are composed of."""

import itertools
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from retrieval.indexing.segments import Boundary, clusters, segments, sentences
from retrieval.indexing.sizes import NOTHING, Measure, Size

# Only blocks are parsed: inline markup costs time and changes no boundary.
_markdown = MarkdownIt("commonmark").enable("table").disable(["inline", "text_join"], ignoreInvalid=True)
_LINE_END = re.compile(r"\r\n?|\n")

# Ranks of boundaries, lower is better to split at; a heading's rank is its level, 1 to 6.
# Inside a block they are those of `segments.Boundary`.
_BLOCK, _NESTED, _AFTER_INTRODUCTION, _AFTER_HEADING = 10, 20, 25, 40

_LINE_MIN_CHARS = 40


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the text that is not split: [start, end) of the text, with the white space after it."""

    start: int
    end: int
    size: Size
    rank: int
    """The rank of its start as a boundary; lower is better to split at."""
    lead: str = ""
    """The text that a chunk beginning here repeats: the header of the table, or the opening line of the code."""
    lead_size: Size = NOTHING


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

    def pieces(self, measure: Measure, limit: Size) -> list[Piece]:
        """Return pieces that cover the text without gaps; each is within `limit`."""
        return _PieceMaker(self, measure, limit).pieces()


@dataclass(frozen=True)
class _PieceMaker:
    blocks: Blocks
    measure: Measure
    limit: Size

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
        if size := self._size_within(start, end, self.limit):
            yield Piece(start, end, size, rank)
            return
        inner = [child for child in node.children if child.map is not None] if node.type not in _LEAVES else []
        if node.type in ("fence", "code_block", "table"):
            yield from self._of_lines(node, start, end, rank)
        elif inner:
            first, *others = self._of_nodes(inner, start, end, _NESTED)
            yield Piece(first.start, first.end, first.size, rank, first.lead, first.lead_size)
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
        lead_size = self._size_within(start, lead_end, self.limit.share(3))
        if lead_size is None:
            lead, lead_size, lead_end = "", NOTHING, start
        lines = starts[bisect_right(starts, max(lead_end, start)) : bisect_right(starts, end - 1)]
        if node.type != "table":
            lines = _spaced(lines, max(lead_end, start))
        cuts = [start, *lines, end]
        for number, (begin, stop) in enumerate(itertools.pairwise(cuts)):
            if number == 0:
                yield from self._of_text(begin, stop, rank)
                continue
            for piece in self._of_text(begin, stop, Boundary.SENTENCE, self.limit.minus(lead_size)):
                yield Piece(piece.start, piece.end, piece.size, piece.rank, lead, lead_size)

    def _of_text(self, start: int, end: int, rank: int, limit: Size | None = None) -> Iterator[Piece]:
        """Yield the text if it fits, else its sentences and lines; one that is too long, in segments."""
        limit = limit or self.limit
        if size := self._size_within(start, end, limit):
            yield Piece(start, end, size, rank)
            return
        for begin, stop in sentences(self.blocks.text, start, end):
            if size := self._size_within(begin, stop, limit):
                yield Piece(begin, stop, size, rank)
            else:
                yield from self._of_segments(begin, stop, rank, limit)
            rank = Boundary.SENTENCE

    def _of_segments(self, start: int, end: int, rank: int, limit: Size) -> Iterator[Piece]:
        """Yield words and parts of long words; where the limit is low, one that is too large in characters."""
        for begin, stop, kind in segments(self.blocks.text, start, end):
            rank, piece = (rank if begin == start else kind), self._segment(begin, stop)
            if piece.fits(limit):
                yield Piece(begin, stop, piece, rank)
                continue
            for first, last in clusters(self.blocks.text, begin, stop):
                yield Piece(first, last, self._segment(first, last), rank if first == begin else Boundary.CLUSTER)

    def _segment(self, start: int, end: int) -> Size:
        # Without the space behind it, which the chat model counts with the word that follows.
        return self.measure(self.blocks.text[start:end].rstrip())._replace(chars=end - start)

    def _size_within(self, start: int, end: int, limit: Size) -> Size | None:
        """Return the size of [start, end), or None if it is over the limit."""
        if end - start > limit.chars:
            return None  # measuring a megabyte at each level of the tree would take seconds
        size = self.measure(self.blocks.text[start:end])
        return size if size.fits(limit) else None


_LEAVES = {"paragraph", "heading", "fence", "code_block", "html_block", "hr", "table"}


def _spaced(cuts: list[int], last: int) -> list[int]:
    """Return the cuts without those that would leave a piece of less than _LINE_MIN_CHARS."""
    kept = []
    for cut in cuts:
        if cut - last >= _LINE_MIN_CHARS:
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
