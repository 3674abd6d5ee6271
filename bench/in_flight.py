"""A thousand streamed chats in flight at once in one web process, against the model's own streams.

A chat costs some milliseconds of a core whatever the model takes, so that a thousand of them are in flight at their own
pace only with a model that takes as long as it takes to begin them. The chats begin evenly over the time of the model:
40 s, and 2 s, where they all wait for the core. BENCH_MODEL_SECONDS, such as "2" or "40 2", chooses. A bare view that
embeds, ranks, inserts and hands on the model's pieces shows what of that time is the machine's.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any

import psutil
from asgiref.sync import sync_to_async
from django.db import connection

from bench.chat import bodies_of_many
from bench.figures import Bound, Goal, Limit, Row, Spread, say
from bench.servers import PROJECT, uvicorn
from bench.surroundings import USERS, user_ids
from chat.models import ApiKey
from contexts.models import TraceBody

CHATS, SECONDS = 1000, "40 2"
QUICK_CHATS, QUICK_SECONDS = 100, "8 2"


async def measure(*, is_quick: bool) -> list[Row]:
    from chat.definitions import store

    for user_id in user_ids():
        await store.set_feature("message_count", user_id, 7)
    count, seconds = (QUICK_CHATS, QUICK_SECONDS) if is_quick else (CHATS, SECONDS)
    rows = []
    for duration in os.environ.get("BENCH_MODEL_SECONDS", seconds).split():
        rows += await sync_to_async(_measure)(count, int(duration))
    return rows


def _measure(count: int, seconds: int) -> list[Row]:
    _, key = ApiKey.make(f"bench {seconds}", [ApiKey.Scope.CHAT])
    headers = {"Authorization": f"Bearer {key}"}
    bodies = bodies_of_many()
    with ExitStack() as stack:
        say(f"Starting one web process and a model that takes {seconds} s ...")
        model = stack.enter_context(uvicorn("bench.model_server:application", BENCH_MODEL_S=str(seconds)))
        environment = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{model}/v1", "FABRA_WEB": "1"}
        environment |= {"FABRA_MODEL_TIMEOUT": "120", "FABRA_CHAT_DEADLINE": "150"}
        ours = stack.enter_context(uvicorn("fabra_project.asgi:application", processes=1, **environment))
        _whole(f"{ours}/chat", headers, list(islice(bodies, 2 * USERS)))
        floor = _streams(f"{model}/v1/chat/completions", {}, [{"stream": True}] * count, seconds, '"content"')
        asked = [body | {"stream": True} for body in islice(bodies, count)]
        with _watched() as used:
            found = _streams(f"{ours}/chat", headers, asked, seconds, "event: delta")
        environment |= {"DJANGO_SETTINGS_MODULE": "bench.settings", "BENCH_ROW_CHARS": str(_trace_chars())}
        bare = stack.enter_context(uvicorn("bench.asgi:application", processes=1, **environment))
        _whole(f"{bare}/chat", {}, list(islice(bodies, 2 * USERS)))
        relayed = _streams(f"{bare}/stream", {}, list(islice(bodies, count)), seconds, "event: delta")
    say(f"All {len(found['whole_s'])} were answered; {found['most']} in flight at once.")
    later = [1000 * first - 1000 * seconds / 4 for first in found["first_s"]]
    own = [1000 * first - 1000 * seconds / 4 for first in floor["first_s"]]
    what = f"in flight, {seconds} s"
    return [
        Row(what=f"{what}: whole", unit="s", ours=Spread.of(found["whole_s"]), floor=Spread.of(floor["whole_s"])),
        Row(
            what=f"{what}: the slowest", unit="s", has_p95=False, goal=Goal(ratio=1.5),
            ours=Spread(p50=max(found["whole_s"]), p95=0), floor=Spread(p50=max(floor["whole_s"]), p95=0),
        ),
        Row(
            what=f"{what}: the slowest of the bare view", unit="s", has_p95=False,
            ours=Spread(p50=max(relayed["whole_s"]), p95=0), floor=Spread(p50=max(floor["whole_s"]), p95=0),
        ),
        Row(
            what=f"{what}: first token, late by",
            ours=Spread.of(later), floor=Spread.of(own), goal=Limit(p50=30, p95=1000),
        ),
        Row.of_value(f"{what}: in flight at once", found["most"], Bound(value=0.9 * count, is_least=True)),
        Row.of_value(f"{what}: memory", used["mb"], Bound(value=500), unit="MB"),
        Row.of_value(f"{what}: threads", used["threads"], Bound(value=count / 10)),
        Row.of_value(f"{what}: database connections", used["connections"], Bound(value=count / 10)),
    ]  # fmt: skip


def _trace_chars() -> int:
    return len(TraceBody.objects.latest("trace__created_at").text)


@contextmanager
def _watched() -> Iterator[dict[str, Any]]:
    """Note the most that the web process uses while the block runs: memory, threads, and database connections."""
    used: dict[str, Any] = {"mb": 0.0, "threads": 0, "connections": 0}
    is_over = threading.Event()
    (web,) = (
        process
        for process in psutil.Process().children(recursive=True)
        if "fabra_project.asgi:application" in process.cmdline()
    )

    def watch() -> None:
        while not is_over.wait(1):
            used["mb"] = max(used["mb"], web.memory_info().rss / 1e6)
            used["threads"] = max(used["threads"], web.num_threads())
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
                used["connections"] = max(used["connections"], cursor.fetchone()[0] - 2)  # ours
        connection.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield used
    finally:
        is_over.set()
        watcher.join()


def _streams(
    url: str, headers: dict[str, str], bodies: list[dict[str, Any]], over_s: float, mark: str
) -> dict[str, Any]:
    plan = {"url": url, "headers": headers, "bodies": bodies, "over_s": over_s, "mark": mark}
    return _run("bench.stream_load", plan)


def _whole(url: str, headers: dict[str, str], bodies: list[dict[str, Any]]) -> None:
    _run("bench.load", {"url": url, "headers": headers, "bodies": bodies, "concurrency": 4})


def _run(module: str, plan: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", module], input=json.dumps(plan), stdout=subprocess.PIPE, cwd=PROJECT, check=True,
        text=True,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout)
    return result
