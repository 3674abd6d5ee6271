"""The process that reads files for `retrieval.readers.isolation`: one JSON question, one JSON answer, and so on.

Each has its length before it, in eight bytes.
"""

import base64
import json
import os
import resource
import sys
from dataclasses import asdict
from typing import Any

import defusedxml

from retrieval.readers import SUFFIXES, Options, SourceFile, Unreadable


def serve() -> None:
    """Answer one question after another until the parent closes its end."""
    defusedxml.defuse_stdlib()
    limit = int(os.environ["FABRA_READER_MEMORY"])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    while head := source.read(8):
        question = json.loads(source.read(int.from_bytes(head, "big")))
        file = question["file"]
        file["content"] = base64.b64decode(file["content"])
        try:
            found = SUFFIXES[question["suffix"]].read(SourceFile(**file), Options(**question["options"]))
            answer: dict[str, Any] = {"documents": [asdict(each) for each in found]}
        except Unreadable as error:
            answer = {"error": str(error)}
        except RecursionError:
            answer = {"error": "nested too deep"}
        except MemoryError:
            os._exit(1)
        except Exception as error:  # any library, any hostile file: the name of what broke is the reason
            answer = {"error": f"broken ({type(error).__name__})"}
        text = json.dumps(answer).encode()
        target.write(len(text).to_bytes(8, "big") + text)
        target.flush()


if __name__ == "__main__":
    serve()
