"""What a signal does to a command: it asks, it does not interrupt."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from common.termination import CommandStopped, stop_when_asked
from tests.processes import PROJECT

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handled_as_in_a_terminal() -> Iterator[None]:
    """The tests themselves may run where some signals are ignored."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_asks_the_work_to_stop_and_interrupts_nothing(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    told: list[str] = []
    with stop_when_asked(lambda: told.append("a helper")) as stop:
        assert not stop.is_asked
        os.kill(os.getpid(), number)
        assert stop.is_asked and told == ["a helper"]
    assert signal.getsignal(number) == before


def test_a_second_signal_ends_the_process_at_once() -> None:
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from common.termination import stop_when_asked\n"
        "with stop_when_asked():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('still here')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGTERM, b"", b"")


def test_what_the_process_ignores_stays_ignored_as_nohup_has_it() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_when_asked() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.is_asked
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_work_stops_where_it_asks() -> None:
    with stop_when_asked() as stop:
        stop.check()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(CommandStopped):
            stop.check()
