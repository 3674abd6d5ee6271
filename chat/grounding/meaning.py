"""Compare sentences by their meaning: the cosine of their embeddings."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np

from retrieval.embedders import Embedder, get_embedder

logger = logging.getLogger(__name__)

MOST_CHARS = 200
"""The most text that is embedded for one answer: a character takes a single core some 0.05 ms."""
_MOST_KEPT = 4_000


class MeaningUnavailable(Exception):
    """The embedder fails."""


class _Vectors:
    """The vectors of passages' sentences, which many answers are compared with."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[str, str]) -> np.ndarray | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: tuple[str, str], vector: np.ndarray) -> None:
        with self._lock:
            self._kept[key] = vector
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)


_vectors = _Vectors()


def cosines(pairs: Sequence[tuple[str, str]], most_chars: int = MOST_CHARS) -> list[float | None]:
    """Return the cosine of each pair of a claim and a passage's sentence; None for those that are too much to embed.

    An embedder on another machine is not asked, since an answer would wait for it. Raise MeaningUnavailable.
    """
    if not pairs:
        return []
    try:
        embedder = get_embedder()
        return [None] * len(pairs) if embedder.is_remote else _of(embedder, pairs, most_chars)
    except Exception as error:  # whatever a model's runtime raises: the answer is there, and its words can be compared
        logger.warning("An answer was checked by its words only, since the embedder failed: %s", type(error).__name__)
        raise MeaningUnavailable from error


def _of(embedder: Embedder, pairs: Sequence[tuple[str, str]], most_chars: int) -> list[float | None]:
    wanted: dict[str, np.ndarray | None] = {}
    taken = 0
    for pair in pairs:
        new = {text: _vectors.get((embedder.model, text)) for text in pair if text not in wanted}
        chars = sum(len(text) for text, vector in new.items() if vector is None)
        if taken + chars <= most_chars:
            taken += chars
            wanted |= new
    missing = [text for text, vector in wanted.items() if vector is None]
    made = dict(zip(missing, embedder.embed(missing), strict=True)) if missing else {}
    for text, vector in made.items():
        _vectors.put((embedder.model, text), vector)
    found = {text: vector for text, vector in (wanted | made).items() if vector is not None}
    return [float(found[claim] @ found[said]) if claim in found and said in found else None for claim, said in pairs]
