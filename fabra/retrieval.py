"""`from fabra.retrieval import retriever, index_model`"""

from retrieval.model_sources.declaration import index_model
from retrieval.retrievers.declaration import retriever
from retrieval.search.hits import Hit, Hits

__all__ = ["Hit", "Hits", "index_model", "retriever"]
