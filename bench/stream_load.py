"""Open streams from a process of its own, evenly over some seconds: reads a plan as JSON, prints what each took.

Plain sockets, because an HTTP client would use more of the two cores than the server that is measured.
"""

import asyncio
import json
import sys
import time
from typing import Any
from urllib.parse import urlsplit

_PATIENCE_S = 150
_ENDS = (b"event: done", b"[DONE]")


async def open_all(plan: dict[str, Any]) -> dict[str, Any]:
    """Return for each request the seconds to its first token and to its end, and the most that were open at once."""
    first_s: list[float] = []
    whole_s: list[float] = []
    is_open = most = 0

    async def open_one(number: int, body: dict[str, Any]) -> None:
        nonlocal is_open, most
        await asyncio.sleep(plan["over_s"] * number / len(plan["bodies"]))
        is_open += 1
        most = max(most, is_open)
        async with asyncio.timeout(_PATIENCE_S):
            first, whole = await _stream(plan["url"], plan["headers"], body, plan["mark"].encode())
        first_s.append(first)
        whole_s.append(whole)
        is_open -= 1

    async with asyncio.TaskGroup() as group:
        for number, body in enumerate(plan["bodies"]):
            group.create_task(open_one(number, body))
    return {"first_s": first_s, "whole_s": whole_s, "most": most}


async def _stream(url: str, headers: dict[str, str], body: dict[str, Any], mark: bytes) -> tuple[float, float]:
    """Return the seconds until `mark` was read, and until the end; raise RuntimeError unless both came."""
    address = urlsplit(url)
    content = json.dumps(body).encode()
    given = {"Host": address.netloc, "Content-Type": "application/json", "Content-Length": str(len(content)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"POST {address.path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode() + content)
    first, is_whole, tail = None, False, b""
    while piece := await reader.read(65536):
        tail = tail[-100:] + piece
        if first is None and mark in tail:
            first = time.perf_counter() - started
        is_whole = is_whole or any(end in tail for end in _ENDS)
    writer.close()
    if first is None or not is_whole:
        raise RuntimeError(tail.decode(errors="replace")[-500:])
    return first, time.perf_counter() - started


if __name__ == "__main__":
    print(json.dumps(asyncio.run(open_all(json.load(sys.stdin)))))
