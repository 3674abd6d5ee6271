"""The chat page's WebSocket: who may open it from where, and what closes it."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.db import connections
from django.test import Client
from django.utils import timezone

from chat.access.visitors import COOKIE
from chat.models import Message
from chat.page.standing import FORBIDDEN, SIGNED_OUT
from fabra_project.asgi import websocket
from tests.sockets import Socket

pytestmark = pytest.mark.django_db

QUESTION = {"message": "How do I reset my password?"}


@pytest.fixture
def production(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in development; and Channels must not take the test's transaction for a connection left by a request."""
    settings.DEBUG = False
    monkeypatch.setitem(connections["default"].settings_dict, "AUTOCOMMIT", False)
    monkeypatch.setattr(connections["default"], "close_at", None)


def connect(browser: Client, origin: str | None = "http://testserver", **scope: Any) -> Socket:
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items())
    headers = [(b"host", b"testserver"), (b"cookie", cookies.encode())]
    headers += [(b"origin", origin.encode())] if origin is not None else []
    return Socket(websocket, "/ws/chat", headers=[*headers, *scope.pop("headers", [])], **scope)


async def ask(socket: Socket, **more: Any) -> dict[str, Any]:
    """Send a question; return the last message about it, or `{"closed": code, "reason": ...}`."""
    await socket.send({**QUESTION, **more})
    while True:
        output = await socket.receive_output()
        if output["type"] == "websocket.close":
            return {"closed": output["code"], "reason": output.get("reason")}
        said = json.loads(output["text"])
        if said["type"] in ("done", "error"):
            return said


@pytest.fixture
def ben(client: Client) -> User:
    user = User.objects.create_user("ben", password="first")
    client.force_login(user)
    return user


def log_out(client: Client, user: User) -> None:
    client.post("/logout/")


def deactivate(client: Client, user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def change_password(client: Client, user: User) -> None:
    user.set_password("second")
    user.save()


def expire(client: Client, user: User) -> None:
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))


def delete(client: Client, user: User) -> None:
    user.delete()


def demote(client: Client, user: User) -> None:
    user.user_permissions.clear()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (log_out, SIGNED_OUT),
        (deactivate, SIGNED_OUT),
        (change_password, SIGNED_OUT),
        (expire, SIGNED_OUT),
        (delete, SIGNED_OUT),
        (demote, FORBIDDEN),
    ],
)
def test_an_open_socket_ends_with_its_users_rights(
    bot: None, production: None, client: Client, ben: User, change: Callable[[Client, User], None], code: int
) -> None:
    ben.user_permissions.add(Permission.objects.get(codename="chat_as_user"))

    async def run() -> None:
        socket = connect(client)
        assert await socket.connect()
        assert (await ask(socket, user_id="user_123"))["type"] == "done"
        await sync_to_async(change)(client, ben)
        said = await ask(socket, user_id="user_123")
        assert said["closed"] == code
        assert said["reason"]

    async_to_sync(run)()
    assert Message.objects.filter(role="user").count() == 1


def test_only_the_permission_lets_one_choose_whom_to_be(bot: None, production: None, client: Client, ben: User) -> None:
    User.objects.filter(pk=ben.pk).update(is_staff=True)

    async def run() -> None:
        socket = connect(client)
        await socket.connect()
        await ask(socket, user_id="user_123")
        await socket.disconnect()

    async_to_sync(run)()
    assert Message.objects.filter(role="user").get().user_id == "ben"


@pytest.mark.parametrize("value", [True, False, "1", 1.5, -1, 10**30, [], {}])
def test_a_conversation_that_is_no_number_is_refused(
    bot: None, production: None, client: Client, ben: User, value: Any
) -> None:
    async def run() -> None:
        socket = connect(client)
        assert await socket.connect()
        said = await ask(socket, conversation_id=value)
        assert (said["type"], said["code"]) == ("error", "invalid_message")
        assert (await ask(socket, conversation_id=None))["type"] == "done"

    async_to_sync(run)()


@pytest.mark.parametrize("may_trace", [False, True])
def test_which_model_answered_and_its_cost_are_for_those_who_may_see_traces(
    bot: None, production: None, client: Client, ben: User, may_trace: bool
) -> None:
    User.objects.filter(pk=ben.pk).update(is_staff=True)
    if may_trace:
        ben.user_permissions.add(Permission.objects.get(codename="view_trace"))

    async def run() -> dict[str, Any]:
        socket = connect(client)
        await socket.connect()
        return await ask(socket)

    said = async_to_sync(run)()
    assert (said["type"], said["role"]) == ("done", "assistant")
    assert {"model", "usage"} & set(said) == ({"model", "usage"} if may_trace else set())
    assert "context_used" not in said


def test_without_signing_in_the_socket_is_closed_at_once(production: None, client: Client) -> None:
    async def run() -> None:
        socket = connect(client)
        assert await socket.connect()
        assert (await socket.receive_output())["code"] == FORBIDDEN

    async_to_sync(run)()


def test_a_visitor_has_an_id_of_their_own_and_never_the_sessions_key(
    bot: None, production: None, client: Client, settings: Any
) -> None:
    settings.FABRA_CHAT_PUBLIC = True
    page = client.get("/")
    assert "sessionid" not in client.cookies
    assert client.cookies[COOKIE]["httponly"]
    shown = page.context["user_id"]
    assert client.get("/").context["user_id"] == shown
    assert Client().get("/").context["user_id"] != shown
    forged = Client()
    forged.cookies[COOKIE] = client.cookies[COOKIE].value.replace(":", "x:", 1)
    assert forged.get("/").context["user_id"] not in (shown, f"{shown}x")

    async def run() -> None:
        for browser in (client, Client()):
            socket = connect(browser)
            await socket.connect()
            await ask(socket)
            await socket.disconnect()

    async_to_sync(run)()
    known, unknown = Message.objects.filter(role="user").order_by("pk").values_list("user_id", flat=True)
    assert known == shown
    assert unknown.startswith("visitor:") and len(unknown) > 20 and unknown != shown


def test_an_address_has_a_limit_whoever_asks_from_it(
    bot: None, production: None, client: Client, settings: Any
) -> None:
    settings.FABRA_CHAT_PUBLIC, settings.FABRA_RATE_LIMIT_ADDRESS = True, 2

    async def said(address: str) -> dict[str, Any]:
        socket = connect(Client(), client=(address, 1))
        await socket.connect()
        answer = await ask(socket)
        await socket.disconnect()
        return answer

    async def run() -> None:
        assert [(await said("192.0.2.9"))["type"] for _ in range(2)] == ["done", "done"]
        refused = await said("192.0.2.9")
        assert (refused["status"], refused["code"]) == (429, "rate_limited")
        assert int(refused["limits"]["Retry-After"]) > 0
        assert (await said("192.0.2.10"))["type"] == "done"

    async_to_sync(run)()


TLS = {"scheme": "wss"}


@pytest.mark.parametrize(
    ("origin", "scope", "is_allowed"),
    [
        ("http://testserver", {}, True),
        ("http://testserver:80", {}, True),
        ("HTTP://TestServer", {}, True),
        ("https://testserver", TLS, True),
        ("https://testserver:443", TLS, True),
        ("https://testserver", {}, False),
        ("http://testserver", TLS, False),
        ("http://testserver:8080", {}, False),
        ("http://evil.example", {}, False),
        ("http://testserver.evil.example", {}, False),
        ("http://testserver@evil.example", {}, False),
        ("https://app.example.com", {}, True),
        ("http://app.example.com", {}, False),
        ("https://a.b.example.org:8443", {}, True),
        ("https://a.b.example.org", {}, False),
        ("https://badexample.org:8443", {}, False),
        ("null", {}, False),
        ("", {}, False),
        (None, {}, False),
        ("http://testserver", {"headers": [(b"origin", b"http://evil.example")]}, False),
    ],
)
def test_origin_is_compared_with_scheme_and_port(
    origin: str | None,
    scope: dict[str, Any],
    is_allowed: bool,
    production: None,
    client: Client,
    ben: User,
    settings: Any,
) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example.com", "https://*.example.org:8443"]

    async def run() -> None:
        assert await connect(client, origin, **scope).connect() is is_allowed

    async_to_sync(run)()


@pytest.mark.parametrize(("said", "origin", "is_allowed"), [("https", "https", True), ("http", "https", False)])
def test_behind_a_proxy_the_scheme_is_what_the_proxy_says(
    said: str, origin: str, is_allowed: bool, production: None, client: Client, ben: User, settings: Any
) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    header = [(b"x-forwarded-proto", said.encode())]

    async def run() -> None:
        socket = connect(client, f"{origin}://testserver", headers=header)
        assert await socket.connect() is is_allowed

    async_to_sync(run)()
