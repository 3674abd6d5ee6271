"""A hundred searchers see one version whole while a document flips a thousand times."""

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from django.db import connection

from retrieval.generations.verification import verify
from retrieval.indexing.documents import index_document
from retrieval.models import Chunk, Document, DocumentVersion, Generation, Index
from retrieval.search.execute import search_sync
from tests.processes import PROJECT, test_environment

FLIPS, SEARCHERS = 1000, 100


class QuickEmbedder:
    """Counts letters, so that the writer spends its time on what is tested: the change of a document."""

    dimension, max_tokens = 26, 256

    def __init__(self, model: str) -> None:
        self.model = model

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        counts = [np.bincount([ord(char) % 26 for char in text], minlength=26) for text in texts]
        return [(count / np.linalg.norm(count)).astype(np.float32) for count in counts]

    def embed_query(self, text: str) -> np.ndarray:
        return self.embed([text])[0]

    def count_tokens(self, text: str) -> int:
        return len(text.split())


# Prints how many chunks each version has.
_WRITER = """
import django; django.setup()
import json
from retrieval.indexing.documents import index_document
texts = ["\\n\\n".join(f"## Part {n}\\n\\nThe {colour} side has {n} ways about it, and each of them is " + colour
                      for n in range(3)) for colour in ("red", "blue")]
results = [index_document("docs", "guide", texts[n %% 2], {"colour": n %% 2}) for n in range(%d)]
assert all(result.is_changed for result in results)
print(json.dumps({result.version: result.chunk_count for result in results}))
"""


@pytest.mark.django_db(transaction=True)
def test_every_result_is_wholly_one_version_and_no_chunk_is_left_over(settings: Any) -> None:
    settings.FABRA_EMBEDDER = f"{__name__}.QuickEmbedder"
    index_document("docs", "guide", "# Guide\n\nThe first side.")
    Generation.objects.update(max_tokens=80)  # small chunks are soon embedded
    index_document("docs", "other", "# Other\n\nIt stays as it is.")
    command = [sys.executable, "-c", _WRITER % FLIPS]
    writer = subprocess.Popen(command, cwd=PROJECT, env=test_environment(), stdout=subprocess.PIPE)

    is_over = threading.Event()

    def search(number: int) -> list[tuple[set[int], int]]:
        seen = []
        try:
            while True:
                is_last = is_over.is_set()
                # By words alone: the model would take the time that the searches shall have.
                hits = search_sync("docs", "side ways", 20, mode="lexical").hits
                mine = [hit for hit in hits if hit.document_id == "guide"]
                assert all(hit.metadata.get("colour", 1) == hit.version % 2 for hit in mine)
                seen.append(({hit.version for hit in mine}, len(mine)))
                if is_last:
                    return seen
                is_over.wait(4.0)  # all hundred at once, then the writer has the machine
        finally:
            connection.close()

    def wait_for_writer() -> str:
        try:
            return writer.communicate()[0].decode()
        finally:
            is_over.set()

    with ThreadPoolExecutor(SEARCHERS + 1) as pool:
        written = pool.submit(wait_for_writer)
        results = [result for results_of_one in pool.map(search, range(SEARCHERS)) for result in results_of_one]
    counts = {1: 1} | {int(version): count for version, count in json.loads(written.result()).items()}
    assert len(counts) == FLIPS + 1 and max(counts.values()) > 1
    for versions, found in results:
        (version,) = versions
        assert found == counts[version]
    assert len({version for versions, _ in results for version in versions}) > 10
    index = Index.objects.get()
    assert index.chunk_count == Chunk.objects.count() == counts[FLIPS + 1] + 1
    assert Document.objects.get(entity_id="guide").version == DocumentVersion.objects.latest("pk")
    assert list(verify(index)) == []
