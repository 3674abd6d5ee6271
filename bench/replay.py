"""The answer to a request that is sent again with its Idempotency-Key, beside a request that is refused at once."""

import time
import uuid
from contextlib import ExitStack

import httpx
from asgiref.sync import sync_to_async

from bench.figures import Limit, Row, Spread, say
from bench.servers import uvicorn
from chat.models import ApiKey

ROUNDS, QUICK_ROUNDS = 400, 100
_BODY = {"user_id": "bench-replay", "message": "How do I reset my password?"}


async def measure(*, is_quick: bool) -> list[Row]:
    """Send a chat's request again, in turns with one that is refused once its key is known: a POST of no JSON."""
    _, key = await sync_to_async(ApiKey.make)("bench", [ApiKey.Scope.CHAT])
    headers = {"Authorization": f"Bearer {key}"}
    ours: list[float] = []
    floor: list[float] = []
    with ExitStack() as stack:
        say("Starting one web process ...")
        url = stack.enter_context(uvicorn("fabra_project.asgi:application", FABRA_WEB="1", OPENAI_API_KEY=""))
        async with httpx.AsyncClient(headers=headers, timeout=60, trust_env=False) as client:
            again = {"Idempotency-Key": str(uuid.uuid4())}
            (await client.post(f"{url}/chat", json=_BODY, headers=again)).raise_for_status()
            for _ in range(QUICK_ROUNDS if is_quick else ROUNDS):
                started = time.perf_counter()
                answer = await client.post(f"{url}/chat", json=_BODY, headers=again)
                ours.append((time.perf_counter() - started) * 1000)
                if answer.headers.get("Idempotent-Replayed") != "true":
                    raise RuntimeError(f"{answer.status_code} {answer.text[:300]}")
                started = time.perf_counter()
                await client.post(f"{url}/chat", content=b"", headers={"Content-Type": "text/plain"})
                floor.append((time.perf_counter() - started) * 1000)
    return [
        Row(what="replay of a chat", ours=Spread.of(ours), floor=Spread.of(floor), goal=Limit(p50=5, p95=10)),
    ]  # fmt: skip
