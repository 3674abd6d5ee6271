"""Tables of retrieval."""

from retrieval.models.chunks import Chunk
from retrieval.models.documents import Document, DocumentVersion
from retrieval.models.indexes import Generation, Index
from retrieval.models.retrievers import RetrieverDefinition

__all__ = ["Chunk", "Document", "DocumentVersion", "Generation", "Index", "RetrieverDefinition"]
