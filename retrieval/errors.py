"""The errors of retrieval; common.errors has their root."""

from collections.abc import Mapping

import numpy as np

from common.errors import FabraError, InvalidInput, NotFound, Unavailable


class IndexNotFound(NotFound):
    """There is no index of that name."""

    code = "index_not_found"


class DocumentNotFound(NotFound):
    """There is no document of that id in the index."""

    code = "document_not_found"


class DocumentTooLarge(InvalidInput):
    """The document's text is larger than the limit."""

    code = "document_too_large"


class DocumentChanged(FabraError):
    """The document is not in the version that the change was made for."""

    code = "document_changed"


class DocumentOwned(InvalidInput):
    """The id belongs to another file, or to a document that did not come from a file."""

    code = "document_owned"


class ObjectUnreadable(FabraError):
    """A method of the object's source failed."""

    code = "object_unreadable"


class EmbedderUnavailable(Unavailable):
    """The embedding model does not answer."""

    code = "embedder_unavailable"


class EmbedderAnswerInvalid(EmbedderUnavailable):
    """The embedding model's answer is not one vector for each text."""

    code = "embedder_answer_invalid"


class NotReached(FabraError):
    """The work was stopped before this document."""

    code = "not_reached"


class TextRefused(InvalidInput):
    """The embedding model refuses this text."""

    code = "text_refused"

    def __init__(
        self,
        message: str | None = None,
        *,
        refused: Mapping[int, str] | None = None,
        vectors: Mapping[int, np.ndarray] | None = None,
    ) -> None:
        super().__init__(message)
        self.refused = refused or {}
        """The reasons, by index of the text."""
        self.vectors = vectors or {}
        """The vectors of the other texts."""


class RerankerUnavailable(Unavailable):
    """The reranker does not answer."""

    code = "reranker_unavailable"


class EmbedderMismatch(EmbedderUnavailable):
    """The embedding model is another one than the index was made with."""

    code = "embedder_mismatch"


class GenerationConflict(InvalidInput):
    """This cannot be done with the generation as it is."""

    code = "generation_conflict"
