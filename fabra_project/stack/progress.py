"""Progress in the terminal: lines with the seconds since the start."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_WIDTH = 100


class ConsoleProgress:
    """Print progress; on a terminal, the last line shows the current detail of a step until the step is done."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._is_terminal = sys.stdout.isatty()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Print a step's title, and its duration if it took a second or more."""
        started = time.monotonic()
        self.say(f"{title} ...")
        yield
        seconds = time.monotonic() - started
        if seconds >= 1:
            self.say(f"    done in {seconds:.1f} s")

    def say(self, text: str) -> None:
        self._clear()
        print(f"[{time.monotonic() - self._started:5.1f} s] {text}", flush=True)

    def detail(self, text: str) -> None:
        self._clear()
        if self._is_terminal:
            print(f"    {text.strip()[:_WIDTH]}", end="", flush=True)

    def _clear(self) -> None:
        if self._is_terminal:
            print("\r\033[K", end="")
