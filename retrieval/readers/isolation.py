"""Read files in a separate process that is killed when it exceeds limits of time and memory.

The process reads one file after another, so that it is started only once. It has none of the environment's secrets,
and communicates in JSON, since a hostile file may control its output.
"""

import atexit
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from django.conf import settings

from retrieval.readers.documents import (
    AudienceUnknown,
    Empty,
    FetchedFile,
    Options,
    ReadDocument,
    ReadWarning,
    Unreadable,
)

FRAME_MAX_BYTES = 64 << 20
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SYSTEMROOT")
"""What Python needs to start; the rest, such as passwords and keys, is not passed on."""

_KINDS: dict[str, type[Unreadable]] = {kind.__name__: kind for kind in (Unreadable, Empty, AudienceUnknown)}
"""What a reader may raise, by the name that its process tells."""

_idle: dict[int, list["_Process"]] = {}
"""The processes that wait for a file, by the process that started them; a forked worker starts its own."""


def read_isolated(
    file: FetchedFile, suffix: str, module: str, options: Options
) -> Iterator[ReadDocument | ReadWarning]:
    """Yield what the reader of `suffix` in `module` finds; raise Unreadable if it exceeds a limit or crashes."""
    about = {"suffix": suffix, "module": module, "file": asdict(file) | {"content": ""}, "options": asdict(options)}
    for kind, fields in _ask(about, file.content):
        yield ReadWarning(**fields) if kind == ReadWarning.__name__ else ReadDocument(**fields)


def parse_isolated(parse: Callable[[bytes], Any], content: bytes) -> Any:
    """Return what a function of a module without Django makes of the content, as JSON has it; raise Unreadable.

    It may raise Unreadable itself; else the reason is that it exceeded a limit or crashed.
    """
    [(_, parsed)] = _ask({"module": parse.__module__, "function": parse.__name__}, content)
    return parsed


def _ask(about: dict[str, Any], content: bytes) -> Iterator[tuple[str, Any]]:
    request = json.dumps(about | {"seconds": settings.FABRA_READER_TIMEOUT_S}).encode()
    try:
        yield from _found(request, content, _take())
    except _Died as error:
        if error.is_partly_read or not error.was_used:
            raise
        # Files before may have left it without memory: only a new process tells whose fault it was.
        yield from _found(request, content, _Process(settings.FABRA_READER_MAX_BYTES))


class _Died(Unreadable):
    """The process ended instead of answering."""

    def __init__(self, *, is_partly_read: bool, was_used: bool) -> None:
        limit = settings.FABRA_READER_MAX_BYTES >> 20
        super().__init__(f"broke its reader, or wanted more than {limit} MB of memory")
        self.is_partly_read, self.was_used = is_partly_read, was_used


def _found(request: bytes, content: bytes, process: "_Process") -> Iterator[tuple[str, Any]]:
    is_done, was_used, is_partly_read = False, process.was_used, False
    try:
        for frame in process.frames(request, content):
            if "found" not in frame:
                is_done = True
                if "error" in frame:
                    raise _KINDS.get(frame.get("kind", ""), Unreadable)(frame["error"])
                return
            for kind, fields in frame["found"]:
                is_partly_read = True
                yield kind, fields
    except TimeoutError:
        raise Unreadable(f"took longer than {settings.FABRA_READER_TIMEOUT_S:.0f} s") from None
    except (OSError, EOFError):
        raise _Died(is_partly_read=is_partly_read, was_used=was_used) from None
    finally:
        # Also where the caller takes no more documents: what the process still sends must not answer the next file.
        if is_done:
            process.was_used = True
            _idle.setdefault(os.getpid(), []).append(process)
        else:
            process.end()


class _Process:
    """A process that reads files."""

    def __init__(self, memory_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        self.was_used = False
        self.child = subprocess.Popen(
            [sys.executable, "-m", "retrieval.readers.isolated_process", str(memory_bytes)],
            cwd=Path(__file__).resolve().parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        )  # fmt: skip

    def is_usable(self) -> bool:
        return self.child.poll() is None and self.memory_bytes == settings.FABRA_READER_MAX_BYTES

    def frames(self, about: bytes, content: bytes) -> Iterator[dict[str, Any]]:
        """Yield the process's answers to a request; raise TimeoutError, or EOFError or OSError if it dies.

        Only the time that is spent waiting for it counts.
        """
        stdin, stdout = self.child.stdin, self.child.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(b"".join([len(about).to_bytes(8, "big"), len(content).to_bytes(8, "big"), about, content]))
        stdin.flush()
        left = settings.FABRA_READER_TIMEOUT_S
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while True:
                started = time.monotonic()
                frame = _receive(stdout, selector, started + left)
                left -= time.monotonic() - started
                yield dict(json.loads(frame))

    def end(self) -> None:
        self.child.kill()
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                pass  # a request that the process no longer took


def _receive(stream: IO[bytes], selector: selectors.BaseSelector, give_up_at: float) -> bytes:
    received, wanted = bytearray(), 8
    is_head = True
    while len(received) < wanted:
        if not selector.select(max(0.0, give_up_at - time.monotonic())):
            raise TimeoutError
        part = os.read(stream.fileno(), min(wanted - len(received), 1 << 20))
        if not part:
            raise EOFError
        received += part
        if is_head and len(received) == wanted:
            wanted, received, is_head = int.from_bytes(received, "big"), bytearray(), False
            if wanted > FRAME_MAX_BYTES:
                raise EOFError
    return bytes(received)


def _take() -> _Process:
    """Return a process that no file is read by."""
    idle = _idle.get(os.getpid(), [])
    while idle:
        process = idle.pop()
        if process.is_usable():
            return process
        process.end()
    return _Process(settings.FABRA_READER_MAX_BYTES)


def _end() -> None:
    for process in _idle.pop(os.getpid(), []):
        process.end()


atexit.register(_end)
