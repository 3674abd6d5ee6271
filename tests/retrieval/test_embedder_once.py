"""The model is loaded once, however many ask first."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from retrieval.embedders import _load, get_embedder

loaded: list[str] = []


class SlowlyLoaded:
    def __init__(self, model: str) -> None:
        loaded.append(model)
        time.sleep(0.05)


def test_the_first_questions_at_once_load_one_model(settings: Any) -> None:
    settings.FABRA_EMBEDDER = f"{__name__}.SlowlyLoaded"
    barrier = threading.Barrier(4)

    def first(_: int) -> object:
        barrier.wait()
        return get_embedder()

    _load.cache_clear()
    try:
        with ThreadPoolExecutor(4) as pool:
            embedders = set(pool.map(first, range(4)))
        assert len(embedders) == len(loaded) == 1
    finally:
        _load.cache_clear()
