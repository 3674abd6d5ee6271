"""An embedder that a test can take away, or have its worker die in."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from retrieval.embedders.hashing import HashingEmbedder
from retrieval.models import Generation

PATH = "tests.embedders.FragileEmbedder"
SLOW_PATH = "tests.embedders.SlowEmbedder"
SLOWNESS = "SLOW_EMBEDDER_S"
"""The variable for the seconds that it takes for each text: many in a process that is to be ended at its work."""


class WorkerDied(BaseException):
    """What a worker that is killed leaves is what is left where this passes through: nothing catches it."""


class FragileEmbedder(HashingEmbedder):
    failure: ClassVar[type[BaseException] | None] = None
    """Raised for documents and for questions while it is set."""
    question_failure: ClassVar[type[BaseException] | None] = None
    """Raised for questions only."""
    meanwhile: ClassVar[Callable[[], Any] | None] = None
    """Called while documents are embedded."""
    embedded: ClassVar[list[str]] = []
    """The texts of documents, as they were asked for."""
    questions: ClassVar[list[str]] = []
    """The questions that the model was run for."""
    loaded: ClassVar[list[str]] = []
    """The models that were made, once for each process."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.loaded.append(model)

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        if self.failure is not None:
            raise self.failure
        if (meanwhile := type(self).meanwhile) is not None:
            meanwhile()
        self.embedded.extend(texts)
        return super().embed(texts)

    def embed_query(self, text: str) -> np.ndarray:
        if failure := self.failure or self.question_failure:
            raise failure
        self.questions.append(text)
        return super().embed_query(text)

    @classmethod
    def mend(cls) -> None:
        cls.failure = cls.question_failure = cls.meanwhile = None

    @classmethod
    def take_over(cls) -> None:
        """Have the generations that are there asked of it, whoever made them."""
        for generation in Generation.objects.all():
            Generation.objects.filter(pk=generation.pk).update(
                embedder=PATH, embedding_model=f"hashing-{generation.dimension}"
            )


class SlowEmbedder(FragileEmbedder):
    """Takes its time for each text as a model does, but no CPU time: what uses it can be interrupted."""

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        time.sleep(float(os.environ.get(SLOWNESS, "0.02")) * len(texts))
        return super().embed(texts)
