"""The units of a Markdown text as a reader sees them: sentences, list items, table rows, headings, code blocks.

A unit knows where it stands in the text, and what it needs to be read alone: a row its header, an item the sentence
that introduces its list and the items around it, each the headings above it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from common.markdown_text import PlainText, SourceSpan, plain_text
from common.sentences import sentences

_parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("text_join")
_blocks = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["inline", "text_join"], ignoreInvalid=True)
_LINE_END = re.compile(r"\r\n?|\n")
_LISTS = ("bullet_list", "ordered_list")
_COLONS = (":", "\uff1a")


class UnitKind(StrEnum):
    SENTENCE = "sentence"
    """A sentence of a paragraph that is in no list."""
    ITEM = "item"
    """A sentence of a list item; most items have one."""
    ROW = "row"
    """A row of a table's body."""
    HEADING = "heading"
    CODE = "code"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """A part of a text: text[start:end], in the order of the text, without overlap."""

    start: int
    end: int
    text: str
    """Without markup, in one line; code keeps its lines. Citations such as `[1]` remain."""
    kind: UnitKind
    block: tuple[int, int]
    """The span of the paragraph, row, heading, code, or of the list item without the lists inside it."""
    group: tuple[int, int]
    """The span of the outermost list or of the table that it is in; else `block`."""
    headings: tuple[str, ...] = ()
    """The path of headings above it in this text."""
    lead: str = ""
    """The sentence before the list, table or code, if it ends in a colon."""
    parents: tuple[str, ...] = ()
    """The beginnings of the list items that it is nested in, the outermost first."""
    marker: str = ""
    """An item's own: "-", "3."; set for the first unit of an item only."""
    header: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()

    @property
    def alone(self) -> str:
        """What can be understood without the units around it: the lead, the parents, each cell under its header."""
        own = self.text
        if self.kind is UnitKind.ROW:
            names = [*self.header, *[""] * (len(self.cells) - len(self.header))]
            own = "; ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, self.cells, strict=False))
        return " ".join(part for part in (self.lead, *self.parents, own) if part)


@dataclass(frozen=True, kw_only=True)
class _Around:
    """What surrounds a block."""

    block: tuple[int, int] | None = None
    group: tuple[int, int] | None = None
    lead: str = ""
    parents: tuple[str, ...] = ()
    marker: str = ""
    is_item: bool = False


def units(text: str, language: str = "en") -> list[Unit]:
    """Return the units of the text in order; no text raises an error. See `sentences` about the language."""
    return _Reader(text, language).read()


@dataclass
class _Reader:
    text: str
    language: str
    env: dict[str, Any] = field(default_factory=dict)
    headings: list[tuple[int, str]] = field(default_factory=list)

    def read(self) -> list[Unit]:
        self.text = self.text.replace("\x00", "\ufffd")  # as the parser does, so that both see the same text
        self.line_starts = [0, *(found.end() for found in _LINE_END.finditer(self.text))]
        tree = SyntaxTreeNode(_blocks.parse(self.text, self.env))
        return list(self._of_nodes(tree.children, _Around()))

    def _of_nodes(self, nodes: Sequence[SyntaxTreeNode], around: _Around) -> Iterator[Unit]:
        lead = ""  # of the paragraph before, for a list, a table or code
        for node in nodes:
            if node.type in ("paragraph", "heading"):
                found = list(self._of_paragraph(node, around))
                yield from found
                lead = found[-1].text if found and found[-1].text.endswith(_COLONS) else ""
                around = replace(around, marker="")
                continue
            here = replace(around, lead=lead) if lead else around
            if node.type in _LISTS:
                yield from self._of_list(node, here)
            elif node.type == "table":
                yield from self._of_table(node, here)
            elif node.type in ("fence", "code_block"):
                if node.content.strip():
                    yield self._code(node, here)
            else:
                yield from self._of_nodes(node.children, around)
            lead = ""

    def _of_paragraph(self, node: SyntaxTreeNode, around: _Around) -> Iterator[Unit]:
        plain = self._plain(node)
        if not plain.text.strip():
            return
        own = plain.source_span(0, len(plain.text))
        is_heading = node.type == "heading"
        if is_heading:
            self._enter(int(node.tag[1]), " ".join(plain.text.split()))
        spans = [(0, len(plain.text))] if is_heading else sentences(plain.opaque, self.language)
        kind = UnitKind.HEADING if is_heading else UnitKind.ITEM if around.is_item else UnitKind.SENTENCE
        block = around.block if around.block and own[1] <= around.block[1] else own
        for number, (first, last) in enumerate(spans):
            start, end = plain.source_span(first, last)
            yield Unit(
                start=start, end=end, text=" ".join(plain.text[first:last].split()), kind=kind, block=block,
                group=around.group or block, headings=self._path(above=is_heading), lead=around.lead,
                parents=around.parents, marker="" if number else around.marker,
            )  # fmt: skip

    def _of_list(self, node: SyntaxTreeNode, around: _Around) -> Iterator[Unit]:
        group = around.group or self._span(node)
        for item in node.children:
            marker = f"{item.info}{item.markup}"
            own = replace(around, group=group, block=self._item_span(item, marker), marker=marker, is_item=True)
            first = item.children[0] if item.children else None
            if first is None or first.type != "paragraph":
                yield from self._of_nodes(item.children, own)
                continue
            yield from self._of_nodes([first], own)
            own = replace(own, marker="")
            nested = replace(own, parents=(*around.parents, " ".join(self._plain(first).text.split())))
            for child in item.children[1:]:
                yield from self._of_nodes([child], nested if child.type in _LISTS else own)

    def _of_table(self, node: SyntaxTreeNode, around: _Around) -> Iterator[Unit]:
        span = self._span(node)
        header: tuple[str, ...] = ()
        for row in (row for part in node.children for row in part.children):
            cells = tuple(" ".join(self._plain(cell, at=0).text.split()) for cell in row.children)
            if row.children and row.children[0].type == "th":
                header = cells
            elif any(cells):
                start, end = self._span(row)
                yield Unit(
                    start=start, end=end, text=" | ".join(cells), kind=UnitKind.ROW, block=(start, end), group=span,
                    headings=self._path(), lead=around.lead, parents=around.parents, header=header, cells=cells,
                )  # fmt: skip

    def _code(self, node: SyntaxTreeNode, around: _Around) -> Unit:
        start, end = self._span(node)
        block = around.block if around.block and end <= around.block[1] else (start, end)
        return Unit(
            start=start, end=end, text=node.content.rstrip("\n"), kind=UnitKind.CODE, block=block,
            group=around.group or block, headings=self._path(), lead=around.lead, parents=around.parents,
            marker=around.marker,
        )  # fmt: skip

    def _enter(self, level: int, name: str) -> None:
        self.headings = [part for part in self.headings if part[0] < level] + [(level, name)]

    def _path(self, *, above: bool = False) -> tuple[str, ...]:
        return tuple(name for _, name in (self.headings[:-1] if above else self.headings) if name)

    def _plain(self, node: SyntaxTreeNode, at: int | None = None) -> PlainText:
        """Return the plain text of a block; `at` is its offset where nobody asks for it."""
        inline = node.children[0] if node.children else None
        if inline is None or not inline.content:
            return PlainText()
        offsets = self._offsets(inline) if at is None else [SourceSpan(0, at, at + len(inline.content))]
        return plain_text(inline.content, offsets, _parser, self.env)

    def _offsets(self, inline: SyntaxTreeNode) -> list[SourceSpan]:
        """Return where the lines of an inline token stand; the parser may have widened the tabs at their beginning."""
        assert inline.map is not None
        offsets, at = [], 0
        for number, line in enumerate(inline.content.split("\n"), inline.map[0]):
            start, end = self._offset(number), self._offset(number + 1)
            source, wanted = self.text[start:end].rstrip(), line.strip()
            column = len(source) - len(wanted) if source.endswith(wanted) else max(0, source.rfind(wanted))
            indent = len(line) - len(line.lstrip())
            if indent:
                offsets.append(SourceSpan(at, start, start + column))
            offsets.append(SourceSpan(at + indent, start + column, start + len(source)))
            at += len(line) + 1
        return offsets

    def _span(self, node: SyntaxTreeNode) -> tuple[int, int]:
        assert node.map is not None
        return self._trimmed(self._offset(node.map[0]), self._offset(node.map[1]))

    def _item_span(self, item: SyntaxTreeNode, marker: str) -> tuple[int, int]:
        """Return the span of the item, from its marker to the list that is nested in it."""
        assert item.map is not None
        start, own = self._offset(item.map[0]), item.children
        nested = next((number for number, child in enumerate(own) if number and child.type in _LISTS), len(own))
        lines = [child.map[1] for child in own[:nested] if child.map]
        first_line_end = self._offset(item.map[0] + 1)
        content = self.text[start:first_line_end]
        if own and own[0].type == "paragraph" and own[0].children:
            content = self.text[start : self._offsets(own[0].children[0])[0].source]
        return self._trimmed(start + max(0, content.rfind(marker)), self._offset(lines[-1] if lines else item.map[1]))

    def _trimmed(self, start: int, end: int) -> tuple[int, int]:
        part = self.text[start:end]
        start += len(part) - len(part.lstrip())
        return start, start + len(part.strip())

    def _offset(self, line: int) -> int:
        return self.line_starts[line] if line < len(self.line_starts) else len(self.text)
