"""Embed text with an OpenAI-compatible server, at OPENAI_BASE_URL."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import openai
from django.conf import settings

from retrieval.embedders.answers import vectors_of
from retrieval.encodings import count_tokens, encoding_name_for
from retrieval.errors import EmbedderMismatch, EmbedderUnavailable, TextRefused

_BATCH = 128
_MAX_TOKENS = 512
"""The chunk size with the best retrieval; the models accept up to 8191 tokens."""
_REFUSALS = (400, 413, 422)
"""What servers answer to a batch of too many texts or tokens, and to a text that is too long for the model."""
_FAILURE = 500
"""What llama.cpp answers to them; also that of a server that fails, so that it is asked for another text."""
_WORD = "dimension"
"""A text that every model takes."""


class _Refused(Exception):
    """The server refuses a request's texts; the message says with which status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.is_failure = status == _FAILURE


@dataclass
class _Embedding:
    """The work of one call of `embed`."""

    texts: Sequence[str]
    vectors: dict[int, np.ndarray] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    accepted: int = 0
    """The most texts of one request that the server took."""


class OpenAIEmbedder:
    """A model behind `/embeddings`; its dimension is determined once, by a request.

    The limits of servers differ and are not told: a batch that is refused is halved, and how many texts the server
    takes is remembered. Messages never contain what the server wrote, which may quote the key or the text.
    """

    is_remote = True

    def __init__(self, model: str) -> None:
        self.model = model
        self.max_tokens = _MAX_TOKENS
        self._batch = _BATCH
        self._format: Literal["base64", "float"] = "base64"
        self._client = openai.OpenAI(
            api_key=settings.OPENAI_API_KEY or "none",
            base_url=settings.OPENAI_BASE_URL,
            timeout=settings.FABRA_MODEL_TIMEOUT_S,
            max_retries=settings.FABRA_MODEL_RETRIES,  # after 429 and 5xx, when Retry-After says
        )
        self._encoding = encoding_name_for(model) or settings.FABRA_ENCODING

    @cached_property
    def dimension(self) -> int:
        return len(self.embed_query(_WORD))

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the vectors; raise TextRefused, which has the other vectors, for texts that are refused alone."""
        work, start = _Embedding(texts), 0
        while start < len(texts):
            stop = min(start + self._batch, len(texts))
            self._embed_range(work, start, stop)
            # A larger request was refused, and none of its texts alone: there were too many of them.
            if 0 < work.accepted < stop - start and work.refused.keys().isdisjoint(range(start, stop)):
                self._batch = work.accepted
            start = stop
        if work.refused:
            first = next(iter(work.refused.values()))
            raise TextRefused(first, refused=work.refused, vectors=work.vectors)
        return [work.vectors[index] for index in range(len(texts))]

    def embed_query(self, text: str) -> np.ndarray:
        return self.embed([text])[0]

    def count_tokens(self, text: str) -> int:
        return count_tokens(self._encoding, text)

    def _embed_range(self, work: _Embedding, start: int, stop: int, *, is_half: bool = False) -> None:
        try:
            # A half of what failed is halved on instead of being asked for again; a single text is asked for again.
            found = self._request(work.texts[start:stop], retries_failure=not is_half or stop - start == 1)
            work.vectors.update(enumerate(found, start))
        except _Refused as error:
            if stop - start == 1:
                self._embed_refused(work, start, error)
                return
            if error.is_failure and not is_half:
                self._check_works(error)
            middle = (start + stop + 1) // 2
            self._embed_range(work, start, middle, is_half=error.is_failure)
            self._embed_range(work, middle, stop, is_half=error.is_failure)
        else:
            work.accepted = max(work.accepted, stop - start)

    def _embed_refused(self, work: _Embedding, index: int, error: _Refused) -> None:
        """Embed a text that was refused alone as a list of floats, else note it; raise if no text is accepted."""
        if self._format == "base64":
            try:
                self._format = "float"  # some servers know no other
                work.vectors[index] = self._request([work.texts[index]], retries_failure=False)[0]
                return
            except _Refused:
                self._format = "base64"
        if error.is_failure or (not work.refused and not work.vectors):
            self._check_works(error)
        work.refused[index] = f"The embedding model refuses a text of {len(work.texts[index])} characters ({error})."

    def _check_works(self, error: _Refused) -> None:
        """Raise EmbedderUnavailable unless the server takes a word: it is not the texts that it refuses then."""
        try:
            self._request([_WORD], retries_failure=False)
        except _Refused:
            says = f"answers {error}" if error.is_failure else f"refuses every text ({error})"
            raise EmbedderUnavailable(f"The embedding model {says}.") from None

    def _request(self, texts: Sequence[str], *, retries_failure: bool = True) -> list[np.ndarray]:
        """Return the vectors of one request; raise _Refused, EmbedderUnavailable or EmbedderMismatch."""
        client = self._client if retries_failure else self._client.with_options(max_retries=0)
        try:
            answer = client.embeddings.with_raw_response.create(
                model=self.model, input=list(texts), encoding_format=self._format
            )
        except openai.APIStatusError as error:
            if error.status_code in (*_REFUSALS, _FAILURE):
                raise _Refused(error.status_code) from None
            if not retries_failure:
                return self._request(texts)
            raise EmbedderUnavailable(f"The embedding model answers HTTP {error.status_code}.") from None
        except openai.OpenAIError as error:
            if not retries_failure:
                return self._request(texts)
            raise EmbedderUnavailable(f"The embedding model failed with {type(error).__name__}.") from None
        vectors = vectors_of(answer.content, len(texts))
        known = self.__dict__.get("dimension", len(vectors[0]))
        if len(vectors[0]) != known:
            raise EmbedderMismatch(f"{self.model} gave vectors of {len(vectors[0])} dimensions instead of {known}.")
        return vectors
