"""Embedders: what turns text into vectors, chosen by FABRA_EMBEDDER."""

from collections.abc import Sequence
from functools import cache
from threading import Lock
from typing import Protocol

import numpy as np
from django.conf import settings
from django.utils.module_loading import import_string


class Embedder(Protocol):
    model: str
    dimension: int
    max_tokens: int
    """The longest text it reads, in its own tokens."""

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return one unit vector (float32, `dimension`) for each text; raise EmbedderUnavailable."""

    def embed_query(self, text: str) -> np.ndarray:
        """Return the unit vector of a question."""

    def count_tokens(self, text: str) -> int:
        """Count in the tokens of `max_tokens`, without the model's own marks."""


_making = Lock()


def get_embedder() -> Embedder:
    """Return this process's embedder; it is made at first use, and a forked worker makes its own."""
    with _making:  # a cache alone would have all first callers load the model, and keep the memory of each
        return _made()


@cache
def _made() -> Embedder:
    return import_string(settings.FABRA_EMBEDDER)(settings.FABRA_EMBEDDING_MODEL)
