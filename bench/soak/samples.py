"""What is measured while the soak runs: memory, queues, dead rows, latencies."""

import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg
import redis

from bench.soak.bot import Bot
from bench.soak.load import Load

_QUEUES = ("state", "default", "materialize", "ingest", "webhooks", "models")
_PREFIX = "fabra"
# Each program by a word of its command line; the first that is found.
_PROGRAMS = (
    ("postgres", "postgres"), ("valkey-server", "valkey"), ("uvicorn", "web"), ("spawn_main", "web"),
    ("resource_tracker", "web"), ("indexer@", "indexer"), ("worker@", "worker"), ("batch@", "batch"),
    ("answers@", "answers"), (" beat", "beat"), ("consume_events", "consumer"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sample:
    at_s: float
    """Since the start of the load."""
    memory_mb: dict[str, float]
    """By program: the sum over its processes of the proportional set size, which counts a shared page once."""
    queues: dict[str, int]
    """Messages that wait in Celery's queues, and events of the outbox that are not finished."""
    dead_rows: int
    live_rows: int
    database_mb: float
    redis_mb: float
    chat_p50_ms: float
    chat_p95_ms: float
    event_p50_ms: float
    """From an event's receipt to its end, of those that ended since the last sample."""
    event_p95_ms: float


class Sampler:
    """Takes samples of a bot under a load."""

    def __init__(self, bot: Bot, load: Load) -> None:
        self._bot, self._load = bot, load
        self._database = psycopg.connect(bot.database_url, autocommit=True)
        self._redis: Any = redis.Redis.from_url(bot.redis_url)
        self._began, self._began_at = time.monotonic(), time.time()
        self._last = self._began_at
        self.samples: list[Sample] = []

    def close(self) -> None:
        self._database.close()
        self._redis.close()

    def take(self) -> str:
        """Take a sample, and return a line that describes it."""
        chats, since, self._last = self._load.take_latencies(), self._last, time.time()
        events = self._one(
            "SELECT coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY took), 0), "
            "coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY took), 0) FROM (SELECT 1000 * extract(epoch FROM "
            "finished_at - received_at)::float8 AS took FROM events_event WHERE finished_at >= to_timestamp(%s) "
            "AND received_at >= to_timestamp(%s)) ended",
            since,
            self._began_at,
        )
        dead, live = self._one("SELECT sum(n_dead_tup)::bigint, sum(n_live_tup)::bigint FROM pg_stat_user_tables")
        sample = Sample(
            at_s=time.monotonic() - self._began,
            memory_mb=self._memory(),
            queues=self._queues(),
            dead_rows=dead,
            live_rows=live,
            database_mb=self._one("SELECT pg_database_size(current_database())")[0] / 2**20,
            redis_mb=self._redis.info("memory")["used_memory"] / 2**20,
            chat_p50_ms=_percentile(chats, 0.5),
            chat_p95_ms=_percentile(chats, 0.95),
            event_p50_ms=events[0],
            event_p95_ms=events[1],
        )
        self.samples.append(sample)
        return (
            f"{sample.at_s / 60:6.1f} min  {sum(sample.memory_mb.values()):6.0f} MB  "
            f"{sum(sample.queues.values()):5} waiting  {sample.dead_rows:7,} dead rows  "
            f"chat {sample.chat_p50_ms:5.0f}/{sample.chat_p95_ms:5.0f} ms  "
            f"event {sample.event_p50_ms:5.0f}/{sample.event_p95_ms:5.0f} ms"
        )

    def _memory(self) -> dict[str, float]:
        found: dict[str, float] = defaultdict(float)
        programs: dict[int, str] = {}
        for process in self._bot.processes():
            with suppress(psutil.Error):
                command = " ".join(process.cmdline())
                own = next((name for word, name in _PROGRAMS if word in command), None)
                # Celery's children and PostgreSQL's name themselves, or are their parent's.
                name = own or programs.get(process.ppid(), "start and stop")
                programs[process.pid] = name
                found[name] += process.memory_full_info().pss / 2**20
        return dict(found)

    def _queues(self) -> dict[str, int]:
        found = {name: int(self._redis.llen(f"{_PREFIX}:celery:{name}")) for name in _QUEUES}
        found["outbox"] = self._one("SELECT count(*) FROM events_event WHERE finished_at IS NULL")[0]
        return found

    def _one(self, sql: str, *parameters: Any) -> Any:
        row = self._database.execute(sql, parameters).fetchone()
        assert row is not None
        return row


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0
