"""`from fabra.retrieval import retriever, index_model`"""

from fabra.standalone import ensure_django, load_team_definitions

ensure_django()

from retrieval.model_sources.declaration import index_model  # noqa: E402 (Django is set up first)
from retrieval.retrievers.declaration import retriever  # noqa: E402 (Django is set up first)
from retrieval.search.hits import Hit, Hits  # noqa: E402 (Django is set up first)
from retrieval.search.questions import EarlierQuestion  # noqa: E402 (Django is set up first)

__all__ = ["EarlierQuestion", "Hit", "Hits", "index_model", "retriever"]

load_team_definitions()
