"""`POST /v1/chat/completions` beside `POST /chat`, on one server and in pairs: what OpenAI's protocol costs."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
from asgiref.sync import sync_to_async

from bench.chat import bodies_of_many
from bench.figures import Added, Row, Spread, say
from bench.servers import uvicorn
from chat.models import ApiKey

WARM_UP = 20
ADDED_MS = 1.0
Ask = Callable[[dict[str, str]], None]


async def measure(*, is_quick: bool) -> list[Row]:
    return await sync_to_async(_measure)(60 if is_quick else 200)


def _measure(pairs: int) -> list[Row]:
    _, key = ApiKey.make("bench", [ApiKey.Scope.CHAT])
    say("Starting the model's stub and the web server ...")
    with (
        uvicorn("bench.model_server:application") as model,
        uvicorn(
            "fabra_project.asgi:application", OPENAI_API_KEY="none", OPENAI_BASE_URL=f"{model}/v1", FABRA_WEB="1"
        ) as url,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False) as client,
    ):
        asks = _Asks(client)
        bodies = bodies_of_many()
        return [
            _row("completions: a first question", asks.completion, asks.chat, bodies, pairs),
            _row("completions: a follow-up", asks.completion_further, asks.chat_further, bodies, pairs),
        ]


class _Asks:
    """One question by either protocol; each is sent and its answer read."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._conversations: dict[str, int] = {}
        self._told: dict[str, list[dict[str, str]]] = {}

    def chat(self, body: dict[str, str]) -> None:
        self._conversations[body["user_id"]] = self._post("/chat", dict(body))["conversation_id"]

    def chat_further(self, body: dict[str, str]) -> None:
        self._post("/chat", body | {"conversation_id": self._conversations.get(body["user_id"])})

    def completion(self, body: dict[str, str]) -> None:
        self._told[body["user_id"]] = []
        self.completion_further(body)

    def completion_further(self, body: dict[str, str]) -> None:
        told = self._told.setdefault(body["user_id"], [])
        told.append({"role": "user", "content": body["message"]})
        request = {"model": "default", "user": body["user_id"], "messages": told}
        answer = self._post("/v1/chat/completions", request)["choices"][0]["message"]
        told.append({"role": "assistant", "content": answer["content"]})

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        response = self._client.post(path, json=body)
        if response.status_code != 200:
            raise RuntimeError(f"{response.status_code} {response.text[:500]}")
        return response.json()


def _row(what: str, ours: Ask, floor: Ask, bodies: Iterator[dict[str, str]], pairs: int) -> Row:
    """Time both in turn, each with a question of its own; who goes first alternates."""
    times: dict[Ask, list[float]] = {ours: [], floor: []}
    for number in range(-WARM_UP, pairs):
        for ask in (ours, floor) if number % 2 else (floor, ours):
            body = next(bodies)
            started = time.perf_counter()
            ask(body)
            if number >= 0:
                times[ask].append((time.perf_counter() - started) * 1000)
    return Row(what=what, ours=Spread.of(times[ours]), floor=Spread.of(times[floor]), goal=Added(ms=ADDED_MS))
