"""An embedder that a test can take away, or have its worker die in."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from retrieval.embedders.hashing import HashingEmbedder


class WorkerDied(BaseException):
    """What a worker that is killed leaves is what is left where this passes through: nothing catches it."""


class FragileEmbedder(HashingEmbedder):
    failure: ClassVar[type[BaseException] | None] = None
    embedded: ClassVar[list[str]] = []

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        if self.failure is not None:
            raise self.failure
        self.embedded.extend(texts)
        return super().embed(texts)
