"""Read a file in a process of its own, which may take so much memory and so much time and is then ended.

The process serves one file after another, so that its start is paid once. It speaks JSON, since what it says is
what a hostile file made of it.
"""

import atexit
import base64
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from django.conf import settings

from retrieval.readers.documents import Options, SourceDocument, SourceFile, Unreadable

ANSWER_MAX_BYTES = 64 << 20

_lock = threading.Lock()
_children: dict[int, "subprocess.Popen[bytes]"] = {}


def read_isolated(file: SourceFile, suffix: str, options: Options) -> Iterator[SourceDocument]:
    """Yield what the reader of `suffix` finds; raise Unreadable if it takes too long, too much or dies."""
    question = {"suffix": suffix, "file": asdict(file) | {"content": base64.b64encode(file.content).decode()},
                "options": asdict(options)}  # fmt: skip
    with _lock:
        answer = _ask(json.dumps(question).encode())
    if "error" in answer:
        raise Unreadable(answer["error"])
    for each in answer["documents"]:
        yield SourceDocument(**each)


def _ask(question: bytes) -> dict[str, Any]:
    child = _child()
    assert child.stdin is not None and child.stdout is not None
    try:
        child.stdin.write(len(question).to_bytes(8, "big") + question)
        child.stdin.flush()
        answer = _receive(child.stdout)
    except (OSError, EOFError, TimeoutError) as error:
        _end()
        reason = f"took longer than {settings.FABRA_READER_TIMEOUT_S:.0f} s" if isinstance(error, TimeoutError) else (
            f"broke its reader, or wanted more than {settings.FABRA_READER_MAX_BYTES >> 20} MB of memory"
        )  # fmt: skip
        raise Unreadable(reason) from None
    return dict(json.loads(answer))


def _receive(stream: IO[bytes]) -> bytes:
    give_up_at = time.monotonic() + settings.FABRA_READER_TIMEOUT_S
    received, size = bytearray(), None
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while size is None or len(received) < size + 8:
            if not selector.select(max(0.0, give_up_at - time.monotonic())):
                raise TimeoutError
            part = os.read(stream.fileno(), 1 << 20)
            if not part:
                raise EOFError
            received += part
            if size is None and len(received) >= 8:
                size = int.from_bytes(received[:8], "big")
                if size > ANSWER_MAX_BYTES:
                    raise EOFError
    return bytes(received[8:])


def _child() -> "subprocess.Popen[bytes]":
    """Return this process's reading process; a forked worker starts its own."""
    child = _children.get(os.getpid())
    if child is None or child.poll() is not None:
        child = subprocess.Popen(
            [sys.executable, "-m", "retrieval.readers.isolated_process"],
            cwd=Path(__file__).resolve().parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=os.environ | {"FABRA_READER_MEMORY": str(settings.FABRA_READER_MAX_BYTES)},
        )  # fmt: skip
        _children[os.getpid()] = child
    return child


def _end() -> None:
    child = _children.pop(os.getpid(), None)
    if child is not None:
        child.kill()
        child.wait()


atexit.register(_end)
