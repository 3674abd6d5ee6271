"""The process that reads files for `retrieval.readers.isolation`: it answers JSON requests one after another.

Each request and each response is preceded by its length, in eight bytes.
"""

import base64
import json
import os
import resource
import sys
from dataclasses import asdict
from typing import Any

import defusedxml

from retrieval.readers import SUFFIXES, Empty, FetchedFile, Options, Unreadable


def serve() -> None:
    """Answer requests until the parent closes the pipe."""
    defusedxml.defuse_stdlib()
    limit = int(os.environ["FABRA_READER_MEMORY"])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not mix with responses
    while head := source.read(8):
        request = json.loads(source.read(int.from_bytes(head, "big")))
        file = request["file"]
        file["content"] = base64.b64decode(file["content"])
        try:
            found = SUFFIXES[request["suffix"]].read(FetchedFile(**file), Options(**request["options"]))
            response: dict[str, Any] = {"found": [(type(each).__name__, asdict(each)) for each in found]}
        except Unreadable as error:
            response = {"error": str(error), "is_empty": isinstance(error, Empty)}
        except RecursionError:
            response = {"error": "nested too deep"}
        except MemoryError:
            os._exit(1)
        except Exception as error:  # a library may raise anything on a hostile file; the class is the reason
            response = {"error": f"broken ({type(error).__name__})"}
        text = json.dumps(response).encode()
        target.write(len(text).to_bytes(8, "big") + text)
        target.flush()


if __name__ == "__main__":
    serve()
