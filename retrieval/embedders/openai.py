"""Embed text with an OpenAI-compatible server, at OPENAI_BASE_URL."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import openai
from django.conf import settings

from retrieval.encodings import count_tokens, encoding_name_for
from retrieval.errors import EmbedderUnavailable

_BATCH = 128
_MAX_TOKENS = 512
"""The chunk size with the best retrieval; the models accept up to 8191 tokens."""


class OpenAIEmbedder:
    """A model behind `/embeddings`; its dimension is determined once, by a request."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.max_tokens = _MAX_TOKENS
        self._client = openai.OpenAI(
            api_key=settings.OPENAI_API_KEY or "none",
            base_url=settings.OPENAI_BASE_URL,
            timeout=settings.FABRA_MODEL_TIMEOUT_S,
            max_retries=settings.FABRA_MODEL_RETRIES,
        )
        self._encoding = encoding_name_for(model) or settings.FABRA_ENCODING

    @cached_property
    def dimension(self) -> int:
        return len(self.embed_query("dimension"))

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        vectors: list[np.ndarray] = []
        for start in range(0, len(texts), _BATCH):
            try:
                answer = self._client.embeddings.create(model=self.model, input=list(texts[start : start + _BATCH]))
            except openai.OpenAIError as error:
                raise EmbedderUnavailable(f"The embedding model failed with {type(error).__name__}.") from error
            for row in sorted(answer.data, key=lambda row: row.index):
                vector = np.asarray(row.embedding, dtype=np.float32)
                vectors.append(vector / (np.linalg.norm(vector) or 1))
        return vectors

    def embed_query(self, text: str) -> np.ndarray:
        return self.embed([text])[0]

    def count_tokens(self, text: str) -> int:
        return count_tokens(self._encoding, text)
