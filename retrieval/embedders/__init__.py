"""Embedders: convert text to vectors; FABRA_EMBEDDER chooses the backend."""

from collections.abc import Hashable, Sequence
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
"""Short names of the embedders in this package."""


class Embedder(Hashable, Protocol):
    """A model that converts text to unit vectors."""

    model: str
    dimension: int
    max_tokens: int
    """The longest input, in the model's own tokens."""
    is_remote: bool
    """Whether another machine runs it, so that each call waits for the network."""

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return one unit vector (float32, `dimension`) for each text; raise EmbedderUnavailable or TextRefused."""

    def embed_query(self, text: str) -> np.ndarray:
        """Return the unit vector of a query; raise EmbedderUnavailable or TextRefused."""

    def count_tokens(self, text: str) -> int:
        """Count the model's tokens in a text, without special tokens such as [CLS]."""


_loading = Lock()


def get_embedder(model: str = "", backend: str = "") -> Embedder:
    """Return this process's embedder of a model, by default that of the settings; raise EmbedderUnavailable.

    It is created at first use; a forked worker creates its own.
    """
    with _loading:  # with only the cache, all first callers would load the model at once
        return _load(backend or settings.FABRA_EMBEDDER, model or settings.FABRA_EMBEDDING_MODEL)


@cache
def _load(backend: str, model: str) -> Embedder:
    return import_string(backend)(model)


def embedder_of(generation: "Generation") -> Embedder:
    """Return the embedder that a generation was built with, also if the settings name another one now.

    Raise EmbedderMismatch if its vectors now have another dimension, or EmbedderUnavailable.
    """
    embedder = get_embedder(generation.embedding_model, generation.embedder)
    if embedder.dimension != generation.dimension:
        raise EmbedderMismatch(
            f"{embedder.model} gives vectors of {embedder.dimension} dimensions; the generation #{generation.pk} "
            f"was made with {generation.dimension}. Build a new generation."
        )
    return embedder
