"""Split a document into chunks that fit the embedder's input limit, each with its heading path.

Where a text is split depends on the words around the boundary, not on how many come before it: an edit moves only the
boundaries near it, so that all other chunks keep their embedding.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from retrieval.embedders import Embedder
from retrieval.indexing.markdown_blocks import Blocks, Piece
from retrieval.indexing.segments import Boundary
from retrieval.indexing.sizes import Measure, Size, chunk_limit, measure_for

_HEADER_TOKENS = 48
"""Tokens reserved for title and headings, which are embedded with each chunk."""
_MIN_SHARE = 1 / 3
"""The least share of the token limit that a chunk fills, where the text allows it."""
_LEAST_SHARE = 1 / 12
"""The same, rather than to split a word."""
_HASHED_CHARS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """A part of a document, with its heading path; it becomes a chunk."""

    position: int
    text: str
    """The document's own words, unchanged, after `repeated`."""
    repeated: str
    """The table's header or the code's opening line, if the passage begins inside a table or code; part of `text`."""
    heading_path: str
    embedded_text: str
    """Title and headings, then the text: what the embedder reads."""
    token_count: int
    content_hash: str


def split(title: str, text: str, embedder: Embedder, max_tokens: int | None = None) -> list[Passage]:
    """Return the passages in order; each fits the embedder's limit, counted in the embedder's own tokens.

    Its text is also bounded in tokens of the chat model and in characters: see `sizes`. Code and tables that fit stay
    whole; larger ones are split between lines and rows. A text without a word is one passage of that text. Only white
    space between passages is left out. `max_tokens` sets a lower limit than the embedder's.
    """
    blocks, measure = Blocks(text), measure_for(embedder)
    limit = chunk_limit(min(max_tokens or embedder.max_tokens, embedder.max_tokens) - _HEADER_TOKENS)
    pieces = blocks.pieces(measure, limit)
    headings = blocks.headings()
    starts = [found.start for found in headings]
    passages: list[Passage] = []
    for first, last in _spans(text, pieces, measure, limit):
        start, end = pieces[first].start, pieces[last - 1].end
        own = text[start:end].rstrip().lstrip("\r\n")
        if not own.strip() and len(pieces) > 1:
            continue
        # A heading at the start of the passage belongs to its path.
        heading = bisect_right(starts, end - len(text[start:end].lstrip())) - 1
        path = headings[heading].path if heading >= 0 else ""
        passages.append(_passage(len(passages), title, path, pieces[first].lead, own or text, embedder))
    return passages


def _spans(text: str, pieces: Sequence[Piece], measure: Measure, limit: Size) -> Iterator[tuple[int, int]]:
    """Yield [first, last) of the pieces of each passage, in order.

    A span that fits is one passage; a larger one is split in two at its best boundary, and so is each half.
    """
    boundaries = _Boundaries([(piece.rank, _tie_break(text, piece)) for piece in pieces])
    sums = [[0, *accumulate(piece.size[unit] for piece in pieces)] for unit in range(len(limit))]
    pending = [(0, len(pieces))]
    while pending:
        first, last = pending.pop()
        if last - first == 1:
            yield first, last
            continue
        size = Size(*(counts[last] - counts[first] for counts in sums)).plus(pieces[first].lead_size)
        if size.fits(limit):
            # The parts of a word may cost less than the word.
            size = measure(pieces[first].lead + text[pieces[first].start : pieces[last - 1].end])
        if size.fits(limit):
            yield first, last
            continue
        unit = max(range(len(limit)), key=lambda unit: size[unit] / limit[unit])
        cut = _cut(boundaries, sums[unit], first, last, limit[unit])
        pending += [(cut, last), (first, cut)]


def _cut(boundaries: "_Boundaries", sums: Sequence[int], first: int, last: int, limit: int) -> int:
    """Return the best boundary in (first, last) that leaves enough on both sides, if there is one."""

    def best(share: float) -> int | None:
        least = limit * share
        low = bisect_right(sums, sums[first] + least - 1e-9, first + 1, last)
        high = bisect_right(sums, sums[last] - least, first + 1, last)
        return boundaries.best(low, high) if low < high else None

    cut = best(_MIN_SHARE)
    if cut is None:
        return boundaries.best(first + 1, last)
    if boundaries.rank(cut) >= Boundary.SIGN:  # inside a word
        other = best(_LEAST_SHARE)
        if other is not None and boundaries.rank(other) < Boundary.SIGN:
            return other
    return cut


class _Boundaries:
    """Answer which boundary of a range costs least, and of equal ones the first, in logarithmic time."""

    def __init__(self, costs: Sequence[tuple[int, bytes]]) -> None:
        self._costs = costs
        self._by_cost = sorted(range(len(costs)), key=costs.__getitem__)
        self._count = len(costs)
        self._tree = [0] * (2 * self._count)  # a segment tree of positions in `_by_cost`
        for position, boundary in enumerate(self._by_cost):
            self._tree[self._count + boundary] = position
        for node in range(self._count - 1, 0, -1):
            self._tree[node] = min(self._tree[2 * node], self._tree[2 * node + 1])

    def rank(self, boundary: int) -> int:
        return self._costs[boundary][0]

    def best(self, low: int, high: int) -> int:
        """Return the best boundary in [low, high), which must not be empty."""
        found, left, right = self._count, low + self._count, high + self._count
        while left < right:
            if left & 1:
                found, left = min(found, self._tree[left]), left + 1
            if right & 1:
                right -= 1
                found = min(found, self._tree[right])
            left, right = left // 2, right // 2
        return self._by_cost[found]


def _tie_break(text: str, piece: Piece) -> bytes:
    """Return the key that decides between boundaries of equal rank: a hash of the words that follow the boundary."""
    return hashlib.sha256(text[piece.start : piece.start + _HASHED_CHARS].encode()).digest()


def _passage(position: int, title: str, path: str, repeated: str, own: str, embedder: Embedder) -> Passage:
    path = (path.removeprefix(title).removeprefix(" > ") if path.startswith(title) else path)[:1000]
    text = repeated + own
    embedded = embedded_text(title, path, text, embedder)
    return Passage(
        position=position,
        text=text,
        repeated=repeated,
        heading_path=path,
        embedded_text=embedded,
        token_count=embedder.count_tokens(embedded),
        content_hash=hashlib.sha256(embedded.encode()).hexdigest(),
    )


def embedded_text(title: str, path: str, text: str, embedder: Embedder) -> str:
    """Return the embedder's input for a chunk: title and headings, cut to _HEADER_TOKENS, then the text."""
    header = " > ".join(part for part in (title, path) if part)
    while header and embedder.count_tokens(header) > _HEADER_TOKENS - 2:
        header = header[: len(header) * 3 // 4]
    return f"{header}\n{text}" if header and not text.lstrip("# ").startswith(header) else text


def title_of(text: str) -> str:
    """Return the document's first heading of level 1, else ""."""
    return Blocks(text[:20_000]).title()[:500]
