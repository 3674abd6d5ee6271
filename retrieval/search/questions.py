"""The embedding of a text, and the questions of a conversation that a search ranks by beside its own."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedding:
    """The unit vector of a text (float32), and the name of the model that made it."""

    model: str
    vector: np.ndarray


@dataclass(frozen=True)
class EarlierQuestion:
    """A question that was asked before in a conversation, as the option `history` of a search takes it."""

    text: str
    embedding: Embedding | None = field(default=None, kw_only=True, compare=False, repr=False)
    """The embedding of the text; a search of an index of the same model need not embed it again."""
    is_rewritten: bool = field(default=False, kw_only=True)
    """It is the last question in words that stand alone. As the last of the earlier ones it counts as much as what was
    typed, and does not make the questions before it older."""
