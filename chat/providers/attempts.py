"""The calls of models that an answer took, as its trace keeps them."""

import time
from dataclasses import dataclass, field
from typing import Any

from chat.errors import ModelError
from chat.providers.configured import ModelConfig

OK = "ok"
CUT_OFF = "cut_off"
"""The code of a call that was ended from here: the user stopped it or went away, or time was up."""


@dataclass(kw_only=True)
class Attempt:
    """One call of a model, or the reason why it was not called."""

    provider: str
    model: str
    code: str = CUT_OFF
    """`ok`, the code of the error that ended it, or why the model was left out: `paused`, `window`."""
    status: int | None = None
    """The HTTP status; None if there was no response, or a good one."""
    why: str = ""
    """What the server called the error, or what was wrong with its answer."""
    ms: float | None = None
    first_ms: float | None = None
    """Until the first piece of text."""
    retried_after_ms: float | None = None
    """The wait before the next call of the same model."""
    config: ModelConfig | None = None
    """The model that was called."""
    error: ModelError | None = None
    """What ended it; it has the usage that the server reported all the same."""
    _started: float = field(default_factory=time.perf_counter)

    @property
    def has_text(self) -> bool:
        return self.first_ms is not None

    def note_text(self) -> None:
        if self.first_ms is None:
            self.first_ms = self._elapsed_ms()

    def stop(self) -> None:
        """Note how long it took, unless it has ended: it was cut off."""
        if self.ms is None:
            self.ms = self._elapsed_ms()

    def end(self, error: ModelError | None = None) -> None:
        self.stop()
        self.code = error.code if error else OK
        if error is not None:
            self.status, self.why, self.error = error.status, error.why, error

    def to_dict(self) -> dict[str, Any]:
        shown = ("provider", "model", "code", "status", "why", "ms", "first_ms", "retried_after_ms")
        found = {name: value for name in shown if (value := getattr(self, name)) not in (None, "")}
        return found | ({"usage": self.error.usage} if self.error and self.error.usage else {})

    def _elapsed_ms(self) -> float:
        return round((time.perf_counter() - self._started) * 1000, 3)
