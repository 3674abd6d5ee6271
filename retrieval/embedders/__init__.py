"""Embedders: what turns text into vectors, chosen by FABRA_EMBEDDER."""

from collections.abc import Sequence
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np
from django.conf import settings
from django.utils.module_loading import import_string

from retrieval.errors import EmbedderMismatch

if TYPE_CHECKING:
    from retrieval.models import Generation

BACKENDS = {
    "hashing": "retrieval.embedders.hashing.HashingEmbedder",
    "local": "retrieval.embedders.local.LocalEmbedder",
    "openai": "retrieval.embedders.openai.OpenAIEmbedder",
}
"""Short names of the embedders that are here."""


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


def get_embedder(model: str = "", backend: str = "") -> Embedder:
    """Return this process's embedder of a model, by default the one of the settings.

    It is made at first use, and a forked worker makes its own.
    """
    with _making:  # a cache alone would have all first callers load the model, and keep the memory of each
        return _load(backend or settings.FABRA_EMBEDDER, model or settings.FABRA_EMBEDDING_MODEL)


@cache
def _load(backend: str, model: str) -> Embedder:
    return import_string(backend)(model)


def embedder_of(generation: "Generation") -> Embedder:
    """Return the embedder that a generation was made with, whatever the settings name now.

    Raise EmbedderMismatch if it gives vectors of another dimension by now.
    """
    embedder = get_embedder(generation.embedding_model, generation.embedder)
    if embedder.dimension != generation.dimension:
        raise EmbedderMismatch(
            f"{embedder.model} gives vectors of {embedder.dimension} dimensions; the generation #{generation.pk} "
            f"was made with {generation.dimension}. Build a new generation."
        )
    return embedder
