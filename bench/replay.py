"""The answer to a request that is sent again with its Idempotency-Key, beside a request that is refused at once."""

import http.client
import json
import time
import uuid
from contextlib import ExitStack
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async

from bench.figures import Limit, Row, Spread, say
from bench.servers import uvicorn
from chat.models import ApiKey

ROUNDS, QUICK_ROUNDS = 400, 100
_BODY = {"user_id": "bench-replay", "message": "How do I reset my password?"}


async def measure(*, is_quick: bool) -> list[Row]:
    """Send a chat's request again, in turns with one that is refused once its key is known: a POST of no JSON."""
    _, key = await sync_to_async(ApiKey.make)("bench", [ApiKey.Scope.CHAT])
    with ExitStack() as stack:
        say("Starting one web process ...")
        url = stack.enter_context(uvicorn("fabra_project.asgi:application", FABRA_WEB="1", OPENAI_API_KEY=""))
        ours, floor = await sync_to_async(_in_turns)(url, key, QUICK_ROUNDS if is_quick else ROUNDS)
    return [
        Row(what="replay of a chat", ours=Spread.of(ours), floor=Spread.of(floor), goal=Limit(p50=5, p95=10)),
    ]  # fmt: skip


def _in_turns(url: str, key: str, rounds: int) -> tuple[list[float], list[float]]:
    """Return the milliseconds of each replay, and of each refusal.

    They go over one connection of the standard library's client, which costs a tenth of what an asynchronous one does:
    that time would count as the server's.
    """
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    bearer = {"Authorization": f"Bearer {key}"}
    again = {**bearer, "Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    body = json.dumps(_BODY)
    _post(connection, body, again)
    ours: list[float] = []
    floor: list[float] = []
    for _ in range(rounds):
        started = time.perf_counter()
        answer = _post(connection, body, again)
        ours.append((time.perf_counter() - started) * 1000)
        if answer.headers.get("Idempotent-Replayed") != "true":
            raise RuntimeError(f"{answer.status}: no replay")
        started = time.perf_counter()
        _post(connection, "", {**bearer, "Content-Type": "text/plain"})
        floor.append((time.perf_counter() - started) * 1000)
    return ours, floor


def _post(connection: http.client.HTTPConnection, body: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    connection.request("POST", "/chat", body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer
