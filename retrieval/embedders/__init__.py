"""Embedders: what turns text into vectors, chosen by FABRA_EMBEDDER."""

from collections.abc import Sequence
from functools import cache
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


@cache
def get_embedder() -> Embedder:
    """Return this process's embedder; it is made at first use, and a forked worker makes its own."""
    return import_string(settings.FABRA_EMBEDDER)(settings.FABRA_EMBEDDING_MODEL)
