"""Run the stack as a person would, as a process with data of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parents[2]


def environment(**extra: str) -> dict[str, str]:
    """Return what a new user's shell has: nothing of this project or its make, or of the tests' servers."""
    prefixes = ("FABRA_", "DATABASE_URL", "REDIS_URL", "OPENAI_", "DEBUG", "DJANGO_", "SECRET_KEY", "MAKE", "ARGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)} | extra


def start(*words: str, **extra: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "fabra_project.stack", *words],
        cwd=PROJECT,
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_beside(folder: Path, script: str) -> "subprocess.CompletedProcess[str]":
    """Run a Python script with PostgreSQL and Redis beside it."""
    words = ("run", "--fast", "--data-dir", str(folder), "--", "python", "-c", script)
    process = start(*words)
    output, _ = process.communicate(timeout=300)
    return subprocess.CompletedProcess(words, process.returncode, output)


def recorded_pid(folder: Path, name: str) -> int:
    return int(json.loads((folder / "run" / "processes" / name).read_text())["pid"])


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """Return what the process says up to a line with this text; fail if it ends before."""
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"It ended without saying {text!r}:\n{said}")


def end(process: "subprocess.Popen[str]") -> str:
    """Press Ctrl-C, and return what the process still says."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    return output
