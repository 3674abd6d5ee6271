"""Read files in a separate process that is killed when it exceeds limits of time and memory.

The process reads one file after another, so that it is started only once. It communicates in JSON, since a hostile
file may control its output.
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

from retrieval.readers.documents import Empty, FetchedFile, Options, ReadDocument, ReadWarning, Unreadable

RESPONSE_MAX_BYTES = 64 << 20

_lock = threading.Lock()
_children: dict[int, "subprocess.Popen[bytes]"] = {}


def read_isolated(file: FetchedFile, suffix: str, options: Options) -> Iterator[ReadDocument | ReadWarning]:
    """Yield what the reader of `suffix` finds; raise Unreadable if it exceeds a limit or crashes."""
    request = {"suffix": suffix, "file": asdict(file) | {"content": base64.b64encode(file.content).decode()},
                "options": asdict(options)}  # fmt: skip
    with _lock:
        response = _request(json.dumps(request).encode())
    if "error" in response:
        raise (Empty if response.get("is_empty") else Unreadable)(response["error"])
    for kind, fields in response["found"]:
        yield ReadWarning(**fields) if kind == ReadWarning.__name__ else ReadDocument(**fields)


def _request(request: bytes) -> dict[str, Any]:
    child = _child()
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(len(request).to_bytes(8, "big") + request)
        child.stdin.flush()
        response = _receive(child.stdout)
    except (OSError, EOFError, TimeoutError) as error:
        _end()
        reason = f"took longer than {settings.FABRA_READER_TIMEOUT_S:.0f} s" if isinstance(error, TimeoutError) else (
            f"broke its reader, or wanted more than {settings.FABRA_READER_MAX_BYTES >> 20} MB of memory"
        )  # fmt: skip
        raise Unreadable(reason) from None
    return dict(json.loads(response))


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
                if size > RESPONSE_MAX_BYTES:
                    raise EOFError
    return bytes(received[8:])


def _child() -> "subprocess.Popen[bytes]":
    """Return the reading process of this process; a forked worker starts its own."""
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
