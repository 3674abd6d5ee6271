"""`from fabra.retrieval import retriever`"""

from retrieval.retrievers.declaration import retriever
from retrieval.search.hits import Hit, Hits

__all__ = ["Hit", "Hits", "retriever"]
