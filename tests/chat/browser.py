"""What tests in a real browser stand on: a server in a process of its own, on a database of its own."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import redis
from django.conf import settings

from tests.databases import migrated_database, server_address
from tests.missing import require_browser
from tests.processes import free_port

PASSWORD = "of-the-test"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
_SET_UP = "import django; django.setup()\n"


class Server:
    """uvicorn in a process of its own, on the test database."""

    def __init__(self, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.environment = environment
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "uvicorn", "fabra_project.asgi:application", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--lifespan", "off", "--log-level", "warning", "--timeout-graceful-shutdown", "1"],
            env=os.environ | self.environment,
            cwd=settings.BASE_DIR,
        )

    def wait(self) -> "Server":
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}healthz", timeout=5).close()
                return self
            except OSError:
                time.sleep(0.1)
        raise AssertionError("The server did not start; its output is above.")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def admin_page(driver: Any, prepare: str, said: list[str]) -> Iterator[Any]:
    """Give a page of 1,280 by 900 px, signed in to an admin that `prepare` fills, with the user `admin`.

    `said` gets what the browser writes to its console, and the errors of the page, each after the page's address.
    """
    path = require_browser()
    with own_database(prepare) as environment:
        server = Server(**environment)
        try:
            server.wait()
            with driver.sync_playwright() as running:
                chromium = running.chromium.launch(executable_path=str(path), args=FLAGS)
                page = chromium.new_page(viewport={"width": 1280, "height": 900}, base_url=server.url)
                page.set_default_timeout(60_000)
                page.on("console", lambda message: said.append(f"{page.url} {message.text}"))
                page.on("pageerror", lambda error: said.append(f"{page.url} {error}"))
                page.goto("/admin/")
                page.fill("[name=username]", "admin")
                page.fill("[name=password]", PASSWORD)
                page.press("[name=password]", "Enter")
                page.wait_for_url("**/admin/")
                yield page
                chromium.close()
        finally:
            server.stop()


@contextmanager
def own_database(prepare: str, given: str = "", **more: str) -> Iterator[dict[str, str]]:
    """Give the environment of a new database with Redis keys of its own; both are gone afterwards.

    `prepare` is code that fills it, with `given` as its input, in a process of its own: the browser's driver keeps an
    event loop in this thread, where Django refuses the ORM.
    """
    name, address = f"test_page_{uuid.uuid4().hex[:12]}", server_address()
    variables = {
        "DATABASE_URL": f"{address}/{name}",
        "REDIS_URL": settings.REDIS_URL,
        "FABRA_REDIS_PREFIX": f"test:page:{name}",
        "DEBUG": "1",
        "OPENAI_API_KEY": "",
        **more,
    }
    with psycopg.connect(f"{address}/postgres", autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE {name} TEMPLATE "{migrated_database()}"')
        try:
            if prepare:
                subprocess.run(
                    [sys.executable, "-c", _SET_UP + prepare], input=given.encode(), env=os.environ | variables,
                    cwd=settings.BASE_DIR, check=True, timeout=300,
                )  # fmt: skip
            yield variables
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            with redis.Redis.from_url(settings.REDIS_URL) as client:
                for key in client.scan_iter(f"{variables['FABRA_REDIS_PREFIX']}:*", count=1000):
                    client.delete(key)
