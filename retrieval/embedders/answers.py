"""Read the answer of an embedding server; whatever is not one good vector for each text is an error."""

import base64
import binascii
import json
from typing import Any

import numpy as np

from retrieval.errors import EmbedderAnswerInvalid


def vectors_of(body: bytes, count: int) -> list[np.ndarray]:
    """Return the unit vectors (float32) of `count` texts, in the order of the texts; raise EmbedderAnswerInvalid.

    A vector is a list of numbers, or the base64 of its float32 values. The texts are told apart by `index` alone,
    since servers do not promise an order.
    """
    rows = _rows(body)
    if len(rows) != count:
        raise EmbedderAnswerInvalid(f"The embedding model gave {len(rows)} vectors for {count} texts.")
    vectors: dict[int, np.ndarray] = {}
    for row in rows:
        index = row.get("index") if isinstance(row, dict) else None
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
            raise EmbedderAnswerInvalid("The embedding model gave a vector without the index of its text.")
        if index in vectors:
            raise EmbedderAnswerInvalid(f"The embedding model gave two vectors for the text {index}.")
        vectors[index] = _unit_vector(row.get("embedding"))
    dimensions = {len(vector) for vector in vectors.values()}
    if len(dimensions) > 1:
        raise EmbedderAnswerInvalid(
            f"The embedding model gave vectors of {min(dimensions)} to {max(dimensions)} numbers."
        )
    return [vectors[index] for index in range(count)]


def _rows(body: bytes) -> list[Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise EmbedderAnswerInvalid("The embedding model's answer is no JSON.") from None
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise EmbedderAnswerInvalid("The embedding model's answer has no list `data`.")
    return rows


def _unit_vector(embedding: Any) -> np.ndarray:
    values = _values(embedding)
    norm = float(np.linalg.norm(values))
    if not len(values) or not np.isfinite(norm) or not norm:
        raise EmbedderAnswerInvalid("The embedding model gave a vector that is empty, all zeros, or not finite.")
    return (values / norm).astype(np.float32)


def _values(embedding: Any) -> np.ndarray:
    """Return the numbers as float64, which holds the square of any float32."""
    try:
        if isinstance(embedding, str):
            return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4").astype(np.float64)
        if isinstance(embedding, list) and all(type(value) in (int, float) for value in embedding):
            return np.array(embedding, dtype=np.float64)
    except (binascii.Error, ValueError, OverflowError):
        pass
    raise EmbedderAnswerInvalid("The embedding model gave a vector that is neither numbers nor the base64 of numbers.")
