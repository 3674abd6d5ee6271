from typing import Any

import pytest

from retrieval.indexing.document_input import IndexResult
from retrieval.indexing.documents import index_document


@pytest.fixture
def put() -> Any:
    """Return a function that indexes a text into the index `docs`."""

    def put(entity_id: str, text: str, metadata: dict[str, Any] | None = None, **extra: Any) -> IndexResult:
        return index_document("docs", entity_id, text, metadata, **extra)

    return put


@pytest.fixture(autouse=True)
def words_as_vectors(request: pytest.FixtureRequest) -> None:
    """Have documents embedded by their words, unless the test is about what a model understands."""
    if request.node.get_closest_marker("real_model") is None:
        request.getfixturevalue("embedder")
