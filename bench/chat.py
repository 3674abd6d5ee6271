"""`POST /chat`, against a bare view that does the same embedding, ranking, insert and model call."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, cycle
from typing import Any

from asgiref.sync import sync_to_async

from bench.figures import Goal, Row, Spread, say
from bench.questions import different_questions
from bench.servers import PROJECT, uvicorn
from bench.surroundings import USERS, user_ids
from chat.models import ApiKey
from common.redis import async_redis, redis_key
from contexts.models import TraceBody
from fabra_project.stack.bot import web_processes

ROUNDS = 3
MANY = 32


async def measure(*, is_quick: bool) -> list[Row]:
    from chat.definitions import store

    for user_id in user_ids():  # no worker runs here that would count
        await store.set_feature("message_count", user_id, 7)
    # A question of an earlier benchmark would come from the cache.
    client = await async_redis()
    async for key in client.scan_iter(redis_key("retriever", "*")):
        await client.delete(key)
    return await sync_to_async(_measure)(is_quick)


def _measure(is_quick: bool) -> list[Row]:
    singles, many, processes = *((40, 160) if is_quick else (80, 320)), web_processes()
    _, key = ApiKey.make("bench", [ApiKey.Scope.CHAT])
    headers = {"Authorization": f"Bearer {key}"}
    with ExitStack() as stack:
        say(f"Starting the model's stub and both web servers, {processes} processes each ...")
        model = stack.enter_context(uvicorn("bench.model_server:application"))
        environment = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{model}/v1", "FABRA_WEB": "1"}
        ours = stack.enter_context(uvicorn("fabra_project.asgi:application", processes=processes, **environment))
        bodies = bodies_of_many()
        _load(ours, headers, bodies, count=2 * USERS, concurrency=8)
        body = TraceBody.objects.latest("trace__created_at").text
        environment |= {"DJANGO_SETTINGS_MODULE": "bench.settings", "BENCH_ROW_CHARS": str(len(body))}
        floor = stack.enter_context(uvicorn("bench.asgi:application", processes=processes, **environment))
        _load(floor, headers, bodies, count=2 * USERS, concurrency=8)
        latencies: dict[str, list[float]] = {ours: [], floor: []}
        rates: dict[str, list[float]] = {ours: [], floor: []}
        for number in range(ROUNDS):
            for url in (ours, floor) if number % 2 else (floor, ours):
                latencies[url] += _load(url, headers, bodies, count=singles, concurrency=1)["latencies_ms"]
                rates[url].append(many / _load(url, headers, bodies, count=many, concurrency=MANY)["seconds"])
    return [
        Row(
            what="chat: one at a time",
            ours=Spread.of(latencies[ours]), floor=Spread.of(latencies[floor]), goal=Goal(ratio=1.6),
        ),
        Row(
            what=f"chat: {MANY} at a time", unit="/s", has_p95=False,
            ours=Spread.of(rates[ours]), floor=Spread.of(rates[floor]), goal=Goal(ratio=0.65, is_least=True),
        ),
    ]  # fmt: skip


def bodies_of_many() -> Iterator[dict[str, str]]:
    """Yield requests of many users; no question comes twice, so none is answered from the cache."""
    questions = different_questions()
    # Should they run out, the same with another word is another question.
    more = chain(questions, (f"{word} {question}" for word in ("Hello,", "Hi,", "Sorry,") for question in questions))
    for user_id, message in zip(cycle(user_ids()), more, strict=False):
        yield {"user_id": user_id, "message": message}


def _load(
    url: str, headers: dict[str, str], bodies: Iterator[dict[str, str]], *, count: int, concurrency: int
) -> dict[str, Any]:
    """Send the next `count` requests from a process of its own."""
    plan = {
        "url": f"{url}/chat",
        "headers": headers,
        "concurrency": concurrency,
        "bodies": [next(bodies) for _ in range(count)],
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"], input=json.dumps(plan), stdout=subprocess.PIPE,
        cwd=PROJECT, check=True, text=True,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout)
    return result
