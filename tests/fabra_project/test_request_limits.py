"""What a client sends has a limit in bytes and in seconds, on a real server with the options of `make up`."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client

from fabra_project.stack.bot import Address, web_options
from tests.processes import Processes, wait_until

HALF_HEAD = b"POST /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nX-Slow: "
HALF_BODY = (
    b"POST /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    b'{"user_id": "a'
)
LIMIT = 50_000


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Processes]:
    folder = tmp_path_factory.mktemp("logs")
    environment = {
        "FABRA_WEB": "1", "FABRA_HEADER_TIMEOUT": "6", "FABRA_BODY_TIMEOUT": "6", "FABRA_MAX_REQUEST_BYTES": str(LIMIT),
        "FABRA_UPLOAD_MAX_BYTES": "200000", "FABRA_HEADER_MAX_BYTES": "20000",
    }  # fmt: skip
    with Processes(folder, **environment) as processes:
        options = web_options(Address(host="127.0.0.1", port=processes.port))
        options = [option for option in options if not option.startswith("--workers")]
        processes.start("web", "-m", "uvicorn", "fabra_project.asgi:application", *options)
        wait_until(processes._is_ready)
        yield processes


def connect(web: Processes) -> socket.socket:
    return socket.create_connection(("127.0.0.1", web.port), timeout=120)


def read(connection: socket.socket) -> bytes:
    """Return all that the server sends until it closes the connection."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def send(web: Processes, *pieces: bytes) -> tuple[int, Any]:
    """Send a request in pieces; return the status and the JSON of the answer, the connection closed."""
    with closing(connect(web)) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break
        head, _, body = read(connection).partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            body = body.split(b"\r\n")[1]
        return int(head.split()[1]), json.loads(body) if body.startswith(b"{") else body


def post(path: str, *lines: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", "Connection: close", *lines]
    return "\r\n".join([*head, "", ""]).encode()


def chunks(count: int, size: int = 10_000) -> list[bytes]:
    return [b"%x\r\n%s\r\n" % (size, b"x" * size)] * count + [b"0\r\n\r\n"]


def test_300_half_sent_requests_do_no_harm(web: Processes) -> None:
    waiting = [connect(web) for _ in range(300)]
    try:
        for number, connection in enumerate(waiting):
            connection.sendall(HALF_HEAD if number % 2 else HALF_BODY)
        status, body = send(web, post("/api/search/", "Content-Length: 2"), b"{}")
        assert (status, body["error"]["code"]) == (405, "method_not_allowed")
        status, body = send(web, post("/api/events/", "Content-Length: 2"), b"{}")
        assert (status, body["error"]["code"]) == (400, "invalid_input")
        # All of them are closed, the half bodies with a word.
        answers = [read(connection) for connection in waiting]
    finally:
        for connection in waiting:
            connection.close()
    assert {answer.split(b"\r\n")[0] for answer in answers[1::2]} == {b""}
    assert {answer.split(b"\r\n")[0] for answer in answers[::2]} == {b"HTTP/1.1 408 Request Timeout"}
    assert b'"request_timeout"' in answers[0]


def test_a_body_that_drips_is_no_way_around_the_time(web: Processes) -> None:
    with closing(connect(web)) as connection:
        connection.sendall(HALF_BODY)
        for _ in range(200):
            time.sleep(0.1)
            try:
                connection.sendall(b"a")
            except OSError:
                break
        assert read(connection).startswith(b"HTTP/1.1 408")


def test_the_next_head_on_an_open_connection_has_its_time_too(web: Processes) -> None:
    with closing(connect(web)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(HALF_HEAD)
        assert read(connection) in (b"", b'{"status": "ok"}')


@pytest.mark.parametrize("path", ["/chat", "/api/documents/", "/api/events/", "/webhooks/cms/", "/admin/login/", "/"])
def test_a_body_is_counted_as_it_comes(web: Processes, path: str) -> None:
    refused = (413, "request_too_large")
    status, body = send(web, post(path, "Transfer-Encoding: chunked"), *chunks(20))
    assert (status, body["error"]["code"]) == refused
    # One that says its length is refused before it comes.
    status, body = send(web, post(path, f"Content-Length: {LIMIT + 1}"))
    assert (status, body["error"]["code"]) == refused
    status, body = send(web, post(path, "Content-Length: 99999999999999999999999999"))
    assert status in (400, 413)
    status, _ = send(web, post(path, "Transfer-Encoding: chunked"), *chunks(4))
    assert status not in (408, 413, 500)


def test_a_client_that_sends_all_before_it_reads_gets_the_answer(web: Processes) -> None:
    status, body = send(web, post("/chat", "Content-Length: 5000000"), b"x" * 5_000_000)
    assert (status, body["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("pieces", [1, 30])
def test_a_head_has_a_size(web: Processes, pieces: int) -> None:
    filling = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(30))
    whole = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" + filling + b"\r\n"
    size = len(whole) // pieces + 1
    status, _ = send(web, *(whole[start : start + size] for start in range(0, len(whole), size)))
    assert status == 431
    status, _ = send(web, whole[:1000].rpartition(b"X-0")[0] + b"\r\n")
    assert status == 200


@pytest.mark.django_db(transaction=True)
def test_only_who_may_upload_may_send_more(web: Processes) -> None:
    User.objects.create_superuser("root", "", "x")
    User.objects.create_user("ben", "", "x")
    statuses = {}
    for name in ("root", "ben"):
        client = Client()
        client.login(username=name, password="x")
        cookie = f"Cookie: {django_settings.SESSION_COOKIE_NAME}={client.cookies['sessionid'].value}"
        statuses[name] = [
            send(
                web, post("/admin/retrieval/ingestionrun/upload/", cookie, "Transfer-Encoding: chunked"), *chunks(count)
            )[0]
            for count in (10, 200)
        ]
        assert send(web, post("/chat", cookie, "Transfer-Encoding: chunked"), *chunks(10))[0] == 413
    assert statuses == {"root": [403, 413], "ben": [413, 413]}  # 403: it has no CSRF token
