"""The load: chats and events at a steady rate, however long the answers take."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx

_USERS, _DOCUMENTS = 200, 50
_DOCUMENT_SHARE = 0.1
"""The share of document events; the others are messages of users, whose count is a feature."""
_MOST_WAITING = 200
"""Requests in flight. Beyond them the load is not kept up, which is counted, so that the bot is not buried."""
_QUESTIONS = (
    "How do I reset my password?", "Where can I see my invoices?", "How do I invite a colleague?",
    "Can I export my data?", "How do I cancel my plan?", "What does the premium plan cost?",
    "Why was my payment declined?", "How do I change the language?",
)  # fmt: skip


@dataclass
class Load:
    url: str
    chats_a_second: float
    events_a_second: float
    latencies_ms: list[float] = field(default_factory=list)
    """The latencies of the chats since they were last taken."""
    results: Counter[str] = field(default_factory=Counter)
    """How many requests ended how, as "chat 200"."""
    _waiting: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, seconds: float) -> None:
        """Send for so long, then wait for the last answers."""
        limits = httpx.Limits(max_connections=_MOST_WAITING, max_keepalive_connections=_MOST_WAITING)
        async with httpx.AsyncClient(base_url=self.url, timeout=90, limits=limits, trust_env=False) as client:
            await asyncio.gather(
                self._pace(seconds, self.chats_a_second, lambda: self._chat(client)),
                self._pace(seconds, self.events_a_second, lambda: self._event(client)),
            )
            await asyncio.gather(*self._waiting)

    def take_latencies(self) -> list[float]:
        taken, self.latencies_ms = self.latencies_ms, []
        return taken

    async def _pace(self, seconds: float, rate: float, send: Callable[[], Awaitable[None]]) -> None:
        began = time.monotonic()
        for number in range(int(seconds * rate)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            if time.monotonic() > began + seconds:
                return
            if len(self._waiting) >= _MOST_WAITING:
                self.results["not sent: too many in flight"] += 1
                continue
            task = asyncio.ensure_future(send())
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _chat(self, client: httpx.AsyncClient) -> None:
        body: dict[str, object] = {"user_id": f"soak_{random.randrange(_USERS)}", "message": random.choice(_QUESTIONS)}
        started = time.perf_counter()
        if await self._post(client, "chat", "/chat", body):
            self.latencies_ms.append((time.perf_counter() - started) * 1000)

    async def _event(self, client: httpx.AsyncClient) -> None:
        body: dict[str, object]
        if random.random() < _DOCUMENT_SHARE:
            text = f"# Soaking\n\nAt {time.time()} this document says {random.random()}."
            payload = {"content": text, "index": "soak"}
            body = {"event_type": "doc_updated", "entity_id": f"doc-{random.randrange(_DOCUMENTS)}", "payload": payload}
        else:
            body = {"event_type": "message_sent", "entity_id": f"soak_{random.randrange(_USERS)}", "payload": {}}
        await self._post(client, "event", "/api/events/", body)

    async def _post(self, client: httpx.AsyncClient, kind: str, path: str, body: dict[str, object]) -> bool:
        try:
            answer = await client.post(path, json=body)
        except httpx.HTTPError as error:
            self.results[f"{kind} {type(error).__name__}"] += 1
            return False
        self.results[f"{kind} {answer.status_code}"] += 1
        return answer.is_success
