"""The process that reads files for `retrieval.readers.isolation`: it answers requests one after another.

A request is the lengths of its two parts, in eight bytes each, then JSON that says how to read, then the file. The
answer is frames, each JSON after its length: any number of `found`, then one `end` or `error`.
"""

import importlib
import json
import math
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import defusedxml

from retrieval.readers import FetchedFile, Options, ReadDocument, ReadWarning, Unreadable
from retrieval.readers.registry import read_here

_FRAME_CHARS = 1 << 20
_FRAME_ITEMS = 500
_MARGIN_S = 5


def serve(memory_bytes: int) -> None:
    """Answer requests until the parent closes the pipe."""
    defusedxml.defuse_stdlib()
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    for unneeded in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(unneeded, (0, 0))
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not mix with responses
    while head := source.read(16):
        about = json.loads(source.read(int.from_bytes(head[:8], "big")))
        content = source.read(int.from_bytes(head[8:], "big"))
        _limit_time(about["seconds"])
        for answer in _answers(about, content):
            # Lone surrogates pass; any other sign takes no more bytes than in the file.
            frame = json.dumps(answer, ensure_ascii=False).encode(errors="surrogatepass")
            target.write(len(frame).to_bytes(8, "big") + frame)
            target.flush()


def _limit_time(seconds: float) -> None:
    """End this process when it computes for too long, in case the parent that would kill it is gone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime + seconds) + _MARGIN_S
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _answers(about: dict[str, Any], content: bytes) -> Iterator[dict[str, Any]]:
    try:
        if "function" in about:
            parse = getattr(importlib.import_module(about["module"]), about["function"])
            yield {"found": [("parsed", parse(content))]}
        else:
            file = FetchedFile(**about["file"] | {"content": content})
            yield from _found(read_here(file, about["suffix"], about["module"], Options(**about["options"])))
    except Unreadable as error:
        yield {"error": str(error), "kind": type(error).__name__}
    except RecursionError:
        yield {"error": "nested too deep"}
    except MemoryError:
        os._exit(1)
    except Exception as error:  # a library may raise anything on a hostile file; the class is the reason
        yield {"error": f"broken ({type(error).__name__})"}
    else:
        yield {"end": True}


def _found(items: Iterator[ReadDocument | ReadWarning]) -> Iterator[dict[str, Any]]:
    batch: list[tuple[str, dict[str, Any]]] = []
    chars = 0
    try:
        for item in items:
            batch.append((type(item).__name__, asdict(item)))
            chars += len(item.text) if isinstance(item, ReadDocument) else 0
            if chars >= _FRAME_CHARS or len(batch) >= _FRAME_ITEMS:
                yield {"found": batch}
                batch, chars = [], 0
    except Unreadable:  # what was read before is found all the same
        if batch:
            yield {"found": batch}
        raise
    if batch:
        yield {"found": batch}


if __name__ == "__main__":
    serve(int(sys.argv[1]))
