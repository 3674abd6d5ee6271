"""Write Markdown block by block; each line once, however deep lists and quotations are nested."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PREFIX_MAX_CHARS = 100
"""Lists and quotations within each other that indent a line further are written on the same level: a page of 2,000
quotations, each in another one, would be 300 times as long as its HTML."""
_SPACES = re.compile(r"[ \t\r\n\f]+")


class MarkdownWriter:
    """Collects inline text as `words`, and writes it as a block of `lines` where the block ends.

    An inline writer writes no blocks: their ends are spaces, as in the cell of a table.
    """

    def __init__(self, *, is_inline: bool = False) -> None:
        self.is_inline = is_inline
        self.lines: list[str] = []
        self.words: list[str] = []
        self.blocks = 0
        self.prefix = ""
        """What the lines of the open lists and quotations begin with."""
        self.marker: str | None = None
        """What the next line begins with instead of the prefix: a bullet or number."""
        self.outer_prefix = ""
        """The prefix of the empty line before that."""
        self.has_gap = False
        """Whether an empty line comes before the next block."""
        self.marks: set[str] = set()
        """The signs of emphasis that are open."""

    def text(self, text: str | None) -> None:
        if text:
            self.words.append(_SPACES.sub(" ", text))

    def end_block(self, before: str = "") -> None:
        """Write the inline text so far as a block, with `before` in front."""
        if self.is_inline:
            self.words.append(" ")
            return
        text = _tidy("".join(self.words))
        self.words.clear()
        if text:
            self.block(before + (" ".join(text.split("\n")) if before else text))

    def block(self, text: str) -> None:
        if self.has_gap and self.lines:
            self.lines.append((self.prefix if self.marker is None else self.outer_prefix).rstrip())
        for line in text.split("\n"):
            start = self.prefix if self.marker is None else self.marker
            self.marker = None
            self.lines.append((start + line).rstrip())
        self.has_gap = True
        self.blocks += 1

    @contextmanager
    def wrapped(self, wrap: Callable[[str], str]) -> Iterator[None]:
        """Wrap the inline text that is written inside; not if a block is, which ends what began before it."""
        start, blocks = len(self.words), self.blocks
        yield
        text = "".join(self.words[start:])
        if self.blocks == blocks and text.strip():
            left, right = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
            self.words[start:] = [left, wrap(text.strip()), right]

    @contextmanager
    def indented(self, indent: str, marker: str) -> Iterator[None]:
        """Begin the lines that are written inside with `indent`, and the first with `marker`."""
        self.end_block()
        if len(self.prefix) >= _PREFIX_MAX_CHARS:
            indent = marker = ""
        outer_prefix, outer_marker, lines = self.prefix, self.marker, len(self.lines)
        if outer_marker is None:
            self.outer_prefix = outer_prefix
        start = outer_prefix if outer_marker is None else outer_marker
        self.prefix, self.marker = self.prefix + indent, start + marker
        yield
        self.end_block()
        self.prefix = outer_prefix
        self.marker = outer_marker if len(self.lines) == lines else None


def _tidy(text: str) -> str:
    """Return inline text without the white space that a browser does not show."""
    return "\n".join(" ".join(line.split(" ")).strip() for line in re.sub(r" +", " ", text).split("\n")).strip()
