"""A stub of a language model: an ASGI application that answers in the OpenAI protocol.

A whole answer comes at once. A streamed one has TOKENS tokens within BENCH_MODEL_S seconds, the first of them after a
quarter of that time.
"""

import asyncio
import json
import os
from typing import Any

TOKENS = 100
SECONDS = float(os.environ.get("BENCH_MODEL_S", "2"))
FIRST_S = SECONDS / 4

_HEAD = {"id": "c1", "created": 1, "model": "gpt-4o-mini"}
_USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
_ANSWER = json.dumps(
    {
        **_HEAD, "object": "chat.completion", "usage": _USAGE,
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Click the link [1]."}}
        ],
    }
).encode()  # fmt: skip


def _chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
    body = {**_HEAD, "object": "chat.completion.chunk", "choices": choices, **more}
    return f"data: {json.dumps(body)}\n\n".encode()


_TOKEN = _chunk([{"index": 0, "delta": {"content": "word "}, "finish_reason": None}])
_LAST = _chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]) + _chunk([], usage=_USAGE) + b"data: [DONE]\n\n"


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    is_streamed = json.loads(body or b"{}").get("stream")
    kind, length = (b"text/event-stream", None) if is_streamed else (b"application/json", len(_ANSWER))
    headers = [(b"content-type", kind)] + ([(b"content-length", str(length).encode())] if length else [])
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if is_streamed:
        await _stream(send)
    else:
        await send({"type": "http.response.body", "body": _ANSWER})


async def _stream(send: Any) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(TOKENS):
        due = started + FIRST_S + (SECONDS - FIRST_S) * number / TOKENS
        await asyncio.sleep(max(due - loop.time(), 0))
        await send({"type": "http.response.body", "body": _TOKEN, "more_body": True})
    await send({"type": "http.response.body", "body": _LAST})
