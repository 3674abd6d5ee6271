"""Embed text without a model: the vector is the sum of the text's words, each at a position given by its hash."""

import re
import zlib
from collections.abc import Sequence

import numpy as np

_WORD = re.compile(r"\w+")


class HashingEmbedder:
    """A deterministic, fast, offline embedder: texts are similar only if they share words.

    It is for tests, and for trying an installation without a model. `hashing-N` is the model with N dimensions.
    """

    max_tokens = 256
    is_remote = False

    def __init__(self, model: str) -> None:
        self.model = model
        suffix = model.rpartition("-")[2]
        self.dimension = int(suffix) if suffix.isdigit() and int(suffix) else 256

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [self._vector(text) for text in texts]

    def embed_query(self, text: str) -> np.ndarray:
        return self._vector(text)

    def count_tokens(self, text: str) -> int:
        return len(_WORD.findall(text))

    def _vector(self, text: str) -> np.ndarray:
        vector = np.zeros(self.dimension, dtype=np.float32)
        for word in _WORD.findall(text.casefold()):
            vector[zlib.crc32(word.encode()) % self.dimension] += 1
        norm = np.linalg.norm(vector)
        return vector / norm if norm else np.full(self.dimension, self.dimension**-0.5, dtype=np.float32)
