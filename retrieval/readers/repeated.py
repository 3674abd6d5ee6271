"""Leave out what a page begins and ends with as most pages of its source do: "Was this helpful?", a copyright line.

A single page does not tell its frame from its text where it has no marks; the other pages do. Only whole blocks at the
two ends of a text go, and only what many pages have there: between them a repeated warning or option is text. A longer
sentence stays at the ends, too: "Members see the change at their next sign-in …" is said of each page's own subject.
The first page of the source that has a block and is found keeps it, so that nothing a source says is lost.

Measured on 329 pages of nine manuals (`html_boilerplate` alone keeps 10.0 % of the words around the text, and 14.2 % of
the same pages without <main> and <article>): 7.2 % and 6.6 % stay, and no text is lost. What stays differs from page to
page, such as the titles of its neighbours. Blocks that are repeated anywhere on the pages would cost 1,160 words of
text where half of the pages must have them, and 5,200 where a third must: options and notes that manuals repeat. At the
ends a third in place of the half would find no more than 0.2 % of the words.
"""

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from retrieval.readers.html_page import SENTENCE_ENDS, SENTENCE_WORDS

MIN_PAGES, MIN_SHARE = 5, 0.5
"""A block is repeated if so many pages of a source begin or end with it, and such a share of them."""
_WINDOW = 10
"""The number of blocks at each end that are compared."""
_DIGEST_BYTES = 6
_HEADING = "#"
_PROSE = "."
_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()\s]*\)")


@dataclass(frozen=True)
class Ends:
    """The two ends of a page's text, as digests of its blocks from the outside in, before anything is left out."""

    first: Sequence[str]
    last: Sequence[str]
    blocks: int
    """The number of blocks of the whole text."""
    left_out: Sequence[int] = (0, 0)
    """The number of blocks that were left out of the text at its beginning and its end."""

    @property
    def digests(self) -> set[str]:
        """What may be repeated: all but sentences."""
        return {digest for digest in (*self.first, *self.last) if not digest.startswith(_PROSE)}

    def is_read_without(self, repeated: Collection[str]) -> bool:
        """Return whether the text is what it would be if these were left out."""
        return self.repeated(repeated) == tuple(self.left_out)

    def repeated(self, repeated: Collection[str]) -> tuple[int, int]:
        """Return how many blocks at the beginning and at the end are repeated; none if all of the text is."""
        start, end = (_leading(digests, repeated) for digests in (self.first, self.last))
        if start + end >= self.blocks:
            return 0, 0
        while 0 < start < len(self.first) and _is_title_of_text(*self.first[start - 1 : start + 1]):
            start -= 1
        return start, end


def without_repeated(text: str, repeated: Collection[str]) -> tuple[str, Ends, list[str]]:
    """Return a Markdown text without the repeated blocks at its two ends, its ends, and the blocks left out."""
    blocks = _blocks(text)
    first, last = ([_digest(block) for block in part] for part in (blocks[:_WINDOW], blocks[: -_WINDOW - 1 : -1]))
    ends = Ends(first=first, last=last, blocks=len(blocks))
    start, end = ends.repeated(repeated)
    if not start and not end:
        return text, ends, []
    stop = len(blocks) - end
    return "\n\n".join(blocks[start:stop]), replace(ends, left_out=(start, end)), blocks[:start] + blocks[stop:]


def plain(block: str) -> str:
    """Return the words of a block on one line, without the mark of a heading and the targets of links."""
    return " ".join(_LINK.sub(r"\1", block).lstrip("# ").split())


def _leading(digests: Sequence[str], repeated: Collection[str]) -> int:
    return next((count for count, digest in enumerate(digests) if digest not in repeated), len(digests))


def _is_title_of_text(block: str, following: str) -> bool:
    """Return whether a block is the heading of a text, such as `Synopsis`, which is repeated and no frame."""
    return block.startswith(_HEADING) and not following.startswith(_HEADING)


def _digest(block: str) -> str:
    """Return a short digest of a block's words: a relative link to the same page differs from folder to folder."""
    digest = hashlib.blake2s(plain(block).encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
    if block.startswith(_HEADING):
        return f"{_HEADING}{digest}"
    return f"{_PROSE}{digest}" if _is_prose(block) else digest


def _is_prose(block: str) -> bool:
    """Return whether a block has a whole sentence beside its links, which each page says of its own subject."""
    return len(_LINK.sub("", block).split()) >= SENTENCE_WORDS and block.rstrip().endswith(SENTENCE_ENDS)


def _blocks(text: str) -> list[str]:
    """Return the parts between empty lines; a block of code is in one part."""
    blocks: list[list[str]] = [[]]
    fence = ""
    for line in text.split("\n"):
        if found := _FENCE.match(line):
            fence = "" if fence and found[1].startswith(fence) else fence or found[1]
        if line.strip() or fence:
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return ["\n".join(block) for block in blocks if block]
