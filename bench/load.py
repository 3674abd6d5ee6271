"""Send requests from a process of its own: reads a plan as JSON from stdin, prints latencies as JSON."""

import asyncio
import json
import sys
import time
from typing import Any

import httpx


async def send_all(plan: dict[str, Any]) -> dict[str, Any]:
    """Send each body once, `concurrency` at a time; raise RuntimeError at the first answer that is no 200."""
    bodies, latencies_ms = iter(plan["bodies"]), []

    async def send_some(client: httpx.AsyncClient) -> None:
        for body in bodies:
            started = time.perf_counter()
            answer = await client.post(plan["url"], json=body)
            latencies_ms.append((time.perf_counter() - started) * 1000)
            if answer.status_code != 200:
                raise RuntimeError(f"{answer.status_code} {answer.text[:500]}")

    limits = httpx.Limits(max_connections=plan["concurrency"], max_keepalive_connections=plan["concurrency"])
    async with httpx.AsyncClient(headers=plan["headers"], limits=limits, timeout=60, trust_env=False) as client:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(plan["concurrency"]):
                group.create_task(send_some(client))
        return {"latencies_ms": latencies_ms, "seconds": time.perf_counter() - started}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(send_all(json.load(sys.stdin)))))
