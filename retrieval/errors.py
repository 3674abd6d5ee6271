"""The errors of retrieval; common.errors has their root."""

from common.errors import InvalidInput, NotFound, Unavailable


class IndexNotFound(NotFound):
    """There is no index of that name."""

    code = "index_not_found"


class DocumentNotFound(NotFound):
    """There is no document of that id in the index."""

    code = "document_not_found"


class DocumentTooLarge(InvalidInput):
    """The document's text is larger than the limit."""

    code = "document_too_large"


class DocumentOwned(InvalidInput):
    """The id belongs to another file, or to a document that did not come from a file."""

    code = "document_owned"


class EmbedderUnavailable(Unavailable):
    """The embedding model does not answer."""

    code = "embedder_unavailable"


class RerankerUnavailable(Unavailable):
    """The reranker does not answer."""

    code = "reranker_unavailable"


class EmbedderMismatch(EmbedderUnavailable):
    """The embedding model is another one than the index was made with."""

    code = "embedder_mismatch"


class GenerationConflict(InvalidInput):
    """This cannot be done with the generation as it is."""

    code = "generation_conflict"
