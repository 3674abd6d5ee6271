"""Write server-sent events."""

import json
from typing import Any

# Line ends to some readers of a stream, such as Python's `splitlines`, and no more than characters to JSON.
_LINE_ENDS = str.maketrans({"\u2028": "\\u2028", "\u2029": "\\u2029", "\x85": "\\u0085"})


def event_of(data: Any, name: str = "") -> bytes:
    """Return JSON as an event of a stream; it is one line, also for a reader that knows more line ends than two."""
    text = json.dumps(data, ensure_ascii=False, default=str).translate(_LINE_ENDS)
    return f"event: {name}\ndata: {text}\n\n".encode() if name else f"data: {text}\n\n".encode()
