"""`from fabra.retrieval import retriever`"""

from retrieval.hits import Hit, Hits
from retrieval.retrievers import retriever

__all__ = ["Hit", "Hits", "retriever"]
