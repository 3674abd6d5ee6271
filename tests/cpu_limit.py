"""A limit of CPU time for what must not hang: its test fails and tells where, instead of holding up the run."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest


@contextmanager
def cpu_limit(seconds: float = 60) -> Iterator[None]:
    """Fail once the block has taken so much CPU time; a busy machine makes it no longer.

    What works takes a second at most; what is quadratic or worse takes minutes. Regular expressions are interrupted,
    too, and no `except Exception` in the block catches the failure.
    """

    def fail(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"This took more than {seconds:g} s of CPU time.")

    before = signal.signal(signal.SIGPROF, fail)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
