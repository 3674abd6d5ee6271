"""Embed text in this process: ONNX Runtime through fastembed, without torch and without network."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Any

import numpy as np
from django.conf import settings
from tokenizers import Tokenizer

from retrieval.embedders import minilm
from retrieval.errors import EmbedderUnavailable

_SPECIAL_TOKENS = 2  # [CLS] and [SEP]
_BATCH = 16  # sequences of similar length; larger batches only add padding
_SHORT_CHARS = 200  # a longer query runs alone, so that no other query is padded to its length


class LocalEmbedder:
    """A model that fastembed supports; the default one is read from the data folder, others are downloaded once.

    Raise EmbedderUnavailable if the model is unknown, not prepared or cannot be downloaded.
    """

    is_remote = False

    def __init__(self, model: str) -> None:
        from fastembed import TextEmbedding

        options: dict[str, Any] = {}
        if model == minilm.MODEL:
            if not minilm.is_prepared():
                raise EmbedderUnavailable("The embedding model is not prepared: run `manage.py prepare_assets`.")
            options["specific_model_path"] = str(minilm.model_dir())
        else:
            options["cache_dir"] = str(settings.FABRA_DATA_DIR / "models")
        self.model = model
        self._waiting: deque[tuple[str, Future[np.ndarray]]] = deque()
        self._running = Lock()
        try:
            self._fastembed = TextEmbedding(model, threads=settings.FABRA_EMBEDDING_THREADS, **options)
        except ValueError as error:  # fastembed raises it for an unknown name and for a failed download
            raise EmbedderUnavailable(f"fastembed has no model {model!r}, or could not download it.") from error
        self.dimension = self._fastembed.embedding_size
        self._tokenizer = Tokenizer.from_str(self._fastembed.model.tokenizer.to_str())  # type: ignore[attr-defined]
        truncation = self._tokenizer.truncation or {"max_length": 512}
        self.max_tokens = truncation["max_length"] - _SPECIAL_TOKENS
        # Counting needs the whole text, so the counting tokenizer neither truncates nor pads.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        ids = (self._tokenizer.token_to_id(name) for name in ("[UNK]", "<unk>"))
        self._unknown = {token for token in ids if token is not None}
        self._longest_word: int = getattr(self._tokenizer.model, "max_input_chars_per_word", 100)

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        # Sorted by length, so that batches need little padding.
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        vectors = self._fastembed.embed([texts[n] for n in order], batch_size=_BATCH)
        by_index = dict(zip(order, vectors, strict=True))
        return [by_index[n] for n in range(len(texts))]

    def embed_query(self, text: str) -> np.ndarray:
        """Return the query's vector; queries that arrive while the model runs share its next run."""
        mine: Future[np.ndarray] = Future()
        self._waiting.append((text, mine))
        with self._running:
            while not mine.done():
                self._embed_waiting()
        return mine.result()

    def _embed_waiting(self) -> None:
        batch = [self._waiting.popleft()]
        while self._waiting and len(batch) < _BATCH and max(len(batch[0][0]), len(self._waiting[0][0])) <= _SHORT_CHARS:
            batch.append(self._waiting.popleft())
        try:
            vectors = list(self._fastembed.query_embed([text for text, _ in batch], batch_size=_BATCH))
        except BaseException as error:  # other threads wait for these results
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), vector in zip(batch, vectors, strict=True):
            future.set_result(vector)

    def count_tokens(self, text: str) -> int:
        """Count the model's tokens; an unknown word counts as its parts would, though the model reads one `[UNK]`.

        A tokenizer gives up on a word of more than a hundred characters, and on one with a character that it does not
        know: a page of Thai or a megabyte of hex digits would be a single token. An unknown character counts as one.
        """
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        count = len(encoding.ids)
        if self._unknown.isdisjoint(encoding.ids):
            return count
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token in self._unknown and end - start > 1:
                count += self._parts_of(text[start:end]) - 1
        return count

    def _parts_of(self, word: str) -> int:
        """Count an unknown word as the tokens of its parts, and a part that is unknown too as its characters."""
        parts = [word[start : start + self._longest_word] for start in range(0, len(word), self._longest_word)]
        encodings = self._tokenizer.encode_batch(parts, add_special_tokens=False)
        return sum(
            len(part) if not self._unknown.isdisjoint(encoding.ids) else len(encoding.ids)
            for part, encoding in zip(parts, encodings, strict=True)
        )
