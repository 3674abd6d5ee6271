"""Questions of a conversation that bring more than their text to a search; anywhere else they are that text."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedding:
    """The unit vector of a text (float32), and the name of the model that made it."""

    model: str
    vector: np.ndarray


class EmbeddedQuestion(str):
    """An earlier question with its embedding: a search of an index of the same model need not embed it again."""

    embedding: Embedding

    def __new__(cls, text: str, embedding: Embedding) -> "EmbeddedQuestion":
        question = super().__new__(cls, text)
        question.embedding = embedding
        return question

    def __getnewargs__(self) -> tuple[str, Embedding]:  # type: ignore[override]
        return str(self), self.embedding  # for a copy


class RewrittenQuestion(str):
    """The last question in words that stand alone; as the last of the earlier ones it counts as much as what was typed.

    It does not make the questions before it older.
    """
