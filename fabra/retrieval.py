"""`from fabra.retrieval import retriever`"""

from retrieval.retrievers import retriever
from retrieval.search import Hit, Hits

__all__ = ["Hit", "Hits", "retriever"]
