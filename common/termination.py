"""Signals that end a command."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


class CommandStopped(Exception):
    """The command was asked to stop, and has come to a point where it can."""


@dataclass
class StopRequest:
    """Whether somebody asked the command to stop; the command asks where its work can be left."""

    is_asked: bool = False

    def check(self) -> None:
        """Raise CommandStopped if the command was asked to stop."""
        if self.is_asked:
            raise CommandStopped


@contextmanager
def stop_when_asked(on_stop: Callable[[], object] = lambda: None) -> Iterator[StopRequest]:
    """Have Ctrl-C, SIGTERM and SIGHUP ask the block to stop; a second one ends the process at once.

    No exception is raised: it could come between a statement and its result, or amid a COMMIT. The connection would
    be of no use then, and the error about that would take the interrupt's place.
    """
    stop = StopRequest()

    def ask(number: int, frame: Any) -> None:
        stop.is_asked = True
        for caught in handlers:
            signal.signal(caught, signal.SIG_DFL)
        on_stop()

    with _handling((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), ask) as handlers:
        yield stop


@contextmanager
def _handling(numbers: tuple[signal.Signals, ...], handler: Callable[[int, Any], object]) -> Iterator[dict[Any, Any]]:
    """Handle the signals in the block, but for those that the process ignores, as nohup has it; yield what did."""
    before: dict[Any, Any] = {}
    if threading.current_thread() is threading.main_thread():  # no other may say what a signal does
        before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    try:
        yield before
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
