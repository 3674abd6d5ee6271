"""Measure a text in the three units that bound a chunk: what the embedder reads, what the chat model reads, characters.

No unit bounds the others: an embedder may read a megabyte as one unknown word, and white space costs it nothing.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings

from retrieval.embedders import Embedder
from retrieval.encodings import count_tokens, encoding_name_for

_CHARS_PER_TOKEN = 20
"""A chunk has at most this many characters for each token of its limit; prose has four or five."""
_CACHED = 8192


class Size(NamedTuple):
    """The size of a text, or a limit."""

    embedded: int
    """Tokens of the embedder."""
    tokens: int
    """Tokens of the chat model."""
    chars: int

    def fits(self, limit: "Size") -> bool:
        return self.embedded <= limit.embedded and self.tokens <= limit.tokens and self.chars <= limit.chars

    def minus(self, other: "Size") -> "Size":
        return Size(self.embedded - other.embedded, self.tokens - other.tokens, self.chars - other.chars)

    def plus(self, other: "Size") -> "Size":
        return Size(self.embedded + other.embedded, self.tokens + other.tokens, self.chars + other.chars)

    def share(self, divisor: int) -> "Size":
        return Size(self.embedded // divisor, self.tokens // divisor, self.chars // divisor)


NOTHING = Size(0, 0, 0)

Measure = Callable[[str], Size]


def chunk_limit(max_tokens: int) -> Size:
    """Return the limit of a chunk's text for an embedder that reads `max_tokens`."""
    return Size(max_tokens, settings.FABRA_CHUNK_MAX_TOKENS, max_tokens * _CHARS_PER_TOKEN)


def measure_for(embedder: Embedder) -> Measure:
    """Return a function that measures texts; it remembers short ones, since the words of a document repeat."""
    encoding = encoding_name_for(settings.FABRA_CHAT_MODEL) or settings.FABRA_ENCODING

    @lru_cache(maxsize=_CACHED)
    def measure(text: str) -> Size:
        return Size(embedder.count_tokens(text), count_tokens(encoding, text), len(text))

    return measure
