"""kill -9 of everything in turn while events come in: what was acknowledged is processed, once, in its order."""

import json
import random
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from fabra_project.stack.postgres import Postgres
from fabra_project.stack.valkey import Valkey
from tests.processes import Processes, wait_until
from tests.servers import OwnServer

DOCUMENTS = 8
PREFIX = "crash"
COMMANDS = {
    "worker": ["-m", "celery", "-A", "fabra_project", "worker", "--concurrency=2", "--without-gossip",
               "--without-mingle", "--loglevel=WARNING"],
    "beat": ["-m", "celery", "-A", "fabra_project", "beat", "--pidfile=", "--loglevel=WARNING"],
    "consumer": ["manage.py", "consume_events"],
}  # fmt: skip


class Installation:
    """All processes on servers of their own, each of which may be killed and comes back, as under a supervisor."""

    def __init__(self, folder: Path, postgres: OwnServer, valkey: OwnServer) -> None:
        self.servers = {"postgres": postgres, "valkey": valkey}
        self.processes = Processes(
            folder, DATABASE_URL=postgres.url, REDIS_URL=valkey.url, FABRA_REDIS_PREFIX=PREFIX, FABRA_WEB="",
            FABRA_DEFINITIONS="tests.events.worker_definitions", FABRA_EMBEDDING_THREADS="1",
        )  # fmt: skip

    def start(self) -> None:
        assert self.processes.start("migrate", "manage.py", "migrate", "--verbosity=0").wait(240) == 0
        for name, command in COMMANDS.items():
            self.processes.start(name, *command)
        self.processes.start_web()

    def kill(self, name: str) -> None:
        if name in self.servers:
            self.servers[name].kill()
            time.sleep(0.3)  # long enough for the others to miss it
            self.servers[name].start()
        else:
            self.processes.kill_family(name)
            self.processes.start(name, *COMMANDS[name])

    def revive(self) -> None:
        """Start again what ended by itself for want of a server."""
        for name, command in COMMANDS.items():
            if self.processes.running[name].poll() is not None:
                self.processes.start(name, *command)

    def is_busy(self) -> bool:
        return bool(self.ask("SELECT FROM events_event WHERE state = 'running'"))

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.servers["postgres"].url, autocommit=True) as connection:
            return connection.execute(sql, values).fetchall()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with OwnServer(Postgres, tmp_path / "p") as postgres, OwnServer(Valkey, tmp_path / "v") as valkey:
        installation = Installation(tmp_path, postgres, valkey)
        with installation.processes:
            installation.start()
            yield installation


class Publishers:
    """Two threads that publish until they are stopped: each event again and again until it is acknowledged."""

    def __init__(self, installation: Installation) -> None:
        self.acknowledged: list[dict[str, Any]] = []
        self._stop = threading.Event()
        self._client = redis.Redis.from_url(installation.servers["valkey"].url, socket_timeout=5)
        self._url = f"{installation.processes.url}/api/events/"
        self._threads = [threading.Thread(target=self._publish, args=(way,)) for way in (self._by_rest, self._by_bus)]

    def __enter__(self) -> "Publishers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
        self._client.close()

    def wait_for_more(self, more: int = 6) -> None:
        count = len(self.acknowledged)
        wait_until(lambda: len(self.acknowledged) >= count + more)

    def _publish(self, send: Callable[[dict[str, Any]], None]) -> None:
        chance, number = random.Random(send.__name__), 0
        while not self._stop.is_set():
            number += 1
            event = self._event(chance, number)
            while not self._stop.is_set():
                try:
                    send(event)
                except (urllib.error.URLError, OSError, redis.RedisError):
                    time.sleep(0.05)
                else:
                    self.acknowledged.append(event)
                    break
            time.sleep(0.05)

    def _event(self, chance: random.Random, number: int) -> dict[str, Any]:
        fields = {"id": str(uuid.uuid4()), "occurred_at": datetime.now(UTC).isoformat()}
        if number % 2:
            return fields | {"event_type": "poked", "entity_id": "bear", "payload": {"number": number, "takes_s": 0.1}}
        payload = {"content": f"The text of {fields['id']}."}
        return fields | {
            "event_type": "doc_updated",
            "entity_id": f"d{chance.randrange(DOCUMENTS)}",
            "payload": payload,
        }

    def _by_rest(self, event: dict[str, Any]) -> None:
        body = json.dumps(event).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=60).close()

    def _by_bus(self, event: dict[str, Any]) -> None:
        self._client.xadd(f"{PREFIX}:events", {**event, "payload": json.dumps(event["payload"])})


def test_whatever_is_killed_nothing_is_lost_and_nothing_is_done_twice(installation: Installation) -> None:
    with Publishers(installation) as publishers:
        for name in ("worker", "consumer", "valkey", "worker", "postgres", "valkey", "worker", "postgres"):
            publishers.wait_for_more()
            if name in ("worker", "postgres"):
                wait_until(installation.is_busy)
            installation.kill(name)
            installation.revive()
        publishers.wait_for_more()

    sent = {event["id"]: event for event in publishers.acknowledged}

    def is_all_done() -> bool:
        installation.revive()
        states = dict(installation.ask("SELECT event_id, state FROM events_event"))
        return set(sent) <= set(states) and set(states.values()) <= {"done", "superseded"}

    wait_until(is_all_done, 240)  # on a busy machine; a dead event would never be done
    # A publisher that was stopped before its acknowledgement may have been heard.
    assert installation.ask("SELECT count(*) FROM events_event")[0][0] <= len(sent) + 2
    newest: dict[str, dict[str, Any]] = {}
    for event in sorted(sent.values(), key=lambda event: event["occurred_at"]):
        newest[event["entity_id"]] = event
    texts = dict(
        installation.ask(
            "SELECT entity_id, v.text FROM retrieval_document d JOIN retrieval_documentversion v ON d.version_id = v.id"
        )
    )
    stopped = {entity for entity, text in texts.items() if text.split(" ")[-1].rstrip(".") not in sent}
    for entity_id, text in texts.items():
        assert entity_id in stopped or text == newest[entity_id]["payload"]["content"]
    assert set(texts) >= set(newest) - {"bear"}
    once = "SELECT source, count(*) FROM retrieval_documentversion GROUP BY 1 HAVING count(*) > 1"
    assert installation.ask(once) == []
    pokes = [event["id"] for event in sent.values() if event["event_type"] == "poked"]
    values = installation.ask("SELECT e.event_id FROM features_featurevalue v JOIN events_event e ON v.event_id = e.id")
    assert len(values) == len({event_id for (event_id,) in values})
    assert set(pokes) <= {event_id for (event_id,) in values}
    drift = "SELECT chunk_count, (SELECT count(*) FROM retrieval_chunk) FROM retrieval_index"
    assert [counted == stored for counted, stored in installation.ask(drift)] == [True]


def test_what_the_bus_acknowledged_survives_a_kill_of_valkey(tmp_path: Path) -> None:
    with OwnServer(Valkey, tmp_path / "v") as valkey:
        acknowledged: list[str] = []
        is_over = threading.Event()

        def publish() -> None:
            client: Any = redis.Redis.from_url(valkey.url, decode_responses=True)
            try:
                while not is_over.is_set():
                    acknowledged.append(client.xadd("events", {"n": str(len(acknowledged))}))
            except redis.RedisError:
                pass

        for _ in range(3):
            threads = [threading.Thread(target=publish) for _ in range(3)]
            enough = len(acknowledged) + 50
            for thread in threads:
                thread.start()
            while len(acknowledged) < enough:
                assert any(thread.is_alive() for thread in threads)
                time.sleep(0.01)
            valkey.kill()
            for thread in threads:
                thread.join(60)
            valkey.start()
        client: Any = redis.Redis.from_url(valkey.url, decode_responses=True)
        kept = {entry_id for entry_id, _ in client.xrange("events")}
        client.close()
    assert set(acknowledged) <= kept
