"""Fixtures for tests of definitions: `from fabra.testing import *` in a conftest.py; pytest-django must be installed.

Each begins with an empty database. No model is needed: documents are embedded by a hash of their words.
"""

from fabra.testing.fixtures import (
    ask,
    assemble,
    index_documents,
    model_says,
    own_redis_keys,
    process_events,
    search,
    set_features,
    sync_models,
    words_embedder,
)

__all__ = [
    "ask",
    "assemble",
    "index_documents",
    "model_says",
    "own_redis_keys",
    "process_events",
    "search",
    "set_features",
    "sync_models",
    "words_embedder",
]
