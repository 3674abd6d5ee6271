"""Leave a model that failed alone for a while, and try it again with one request.

Each process has its own circuits. To share them, every answer would ask Redis (0.1 ms), which may be down too, and a
trial would hold a lock there that a crash must not keep. For that, an outage would cost one slow answer for all web
processes instead of one for each; the requests that wait for the model when it fails wait in either case.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from django.conf import settings

from chat.errors import ModelError
from chat.providers.configured import ModelConfig

_MOST_DOUBLINGS = 4
_MOST_S = 600.0


@dataclass(kw_only=True)
class Circuit:
    """Whether a model may be asked: closed, open until a time, or half-open, when one request tries it."""

    failures: int = 0
    """In a row."""
    open_until: float = 0.0
    """By `time.monotonic()`."""
    is_tried: bool = False
    """Whether a request is trying it."""
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def is_open(self) -> bool:
        return bool(self.failures) and (self.is_tried or time.monotonic() < self.open_until)

    @contextmanager
    def entered(self) -> Iterator[bool]:
        """Yield whether the request may ask the model during the block; after a pause one at a time may."""
        with self._lock:
            may_ask = not self.is_open
            is_trial = may_ask and bool(self.failures)
            self.is_tried = self.is_tried or is_trial
        try:
            yield may_ask
        finally:
            if is_trial:
                self.is_tried = False

    def close(self) -> None:
        self.failures, self.open_until = 0, 0.0

    def open(self, error: ModelError) -> None:
        """Leave the model alone, the longer the oftener it failed, and as long as its server asks."""
        if error.is_of_request:
            return
        pause = settings.FABRA_MODEL_PAUSE_S * 2 ** min(self.failures, _MOST_DOUBLINGS)
        self.failures += 1
        self.open_until = time.monotonic() + min(_MOST_S, max(pause, error.retry_after_s or 0.0))


_circuits: dict[tuple[str, str, str], Circuit] = {}


def circuit_of(config: ModelConfig) -> Circuit:
    return _circuits.setdefault((config.name, config.base_url, config.model), Circuit())


def forget_circuits() -> None:
    """Close all circuits of the process."""
    _circuits.clear()
