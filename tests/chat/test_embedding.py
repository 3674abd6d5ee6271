"""The chat on another site, below the browser: the script, the frame's page, its sessions, and who becomes whom."""

import json
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections
from django.test import Client
from django.utils import timezone

from chat.access.site_sessions import read
from chat.conversations.joining import join
from chat.conversations.management import delete_conversation
from chat.errors import StillAnswering
from chat.models import ApiKey, Conversation, Customer, Feedback, JoinedVisitor, Message, Ticket
from chat.page.standing import SIGNED_OUT
from contexts.models import Trace
from events.models import Event
from fabra_project.asgi import websocket
from tests.chat.sites import ORIGIN, Site, make_site
from tests.chat.test_access import code_of
from tests.sockets import Socket

pytestmark = pytest.mark.django_db
SCRIPT_MAX_BYTES = 30_000


@pytest.fixture(autouse=True)
def production(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in development; and Channels must not take the test's transaction for a connection left by a request."""
    settings.DEBUG = False
    monkeypatch.setitem(connections["default"].settings_dict, "AUTOCOMMIT", False)
    monkeypatch.setattr(connections["default"], "close_at", None)


@pytest.fixture
def site() -> Site:
    return make_site()


def page_of(client: Client, key: str, origin: str = ORIGIN, **more: str) -> Any:
    return client.get("/embed", {"key": key, "origin": origin} | more)


def policy_of(response: Any) -> dict[str, str]:
    return dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))


def socket_of(session: str, language: str = "en") -> Socket:
    headers = [(b"host", b"testserver"), (b"origin", b"http://testserver")]
    return Socket(websocket, "/ws/embed", headers=headers)


async def begun(session: str, language: str = "en") -> tuple[Socket, dict[str, Any]]:
    """Open a socket with a session; return it with what it first gets."""
    socket = socket_of(session)
    assert await socket.connect()
    await socket.send({"type": "begin", "session": session, "language": language})
    return socket, await next_of(socket)


async def next_of(socket: Socket, *kinds: str) -> dict[str, Any]:
    while True:
        output = await socket.receive_output()
        said = (
            {"type": "closed", "code": output["code"]}
            if output["type"] == "websocket.close"
            else json.loads(output["text"])
        )
        if not kinds or said["type"] in (*kinds, "closed"):
            return said


async def say(socket: Socket, message: str = "How do I reset my password?", **more: Any) -> dict[str, Any]:
    await socket.send({"message": message, **more})
    return await next_of(socket, "done", "error")


def test_the_script_is_small_public_and_has_its_texts(client: Client) -> None:
    response = client.get("/widget.js")
    assert response.headers["Content-Type"].startswith("text/javascript")
    assert len(response.content) < SCRIPT_MAX_BYTES
    assert "public" in response.headers["Cache-Control"]
    assert "Open the support chat" in response.content.decode()
    assert "Support-Chat öffnen" in response.content.decode()
    assert client.get("/widget.js", headers={"If-None-Match": response.headers["ETag"]}).status_code == 304


def test_only_the_keys_origins_may_frame_the_page_and_nobody_the_others(client: Client) -> None:
    site = make_site(origins=[ORIGIN, "https://*.example.org", "http://localhost:8001/", "javascript:x; script-src *"])
    response = page_of(client, site.key)
    allowed = "https://shop.example.com https://*.example.org http://localhost:8001"
    assert policy_of(response)["frame-ancestors"] == allowed
    assert policy_of(response)["script-src"] == "'self'"
    assert "X-Frame-Options" not in response.headers
    assert not response.cookies
    for path in ("/login/", "/", "/admin/login/"):
        other = client.get(path, follow=True)
        assert policy_of(other)["frame-ancestors"] == "'none'", path
        assert other.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    ("change", "origin", "status", "code"),
    [
        ({}, "https://evil.example.com", 403, "origin_forbidden"),
        ({}, "", 403, "origin_forbidden"),
        ({"revoked_at": timezone.now()}, ORIGIN, 401, "invalid_api_key"),
        ({"expires_at": timezone.now() - timedelta(days=1)}, ORIGIN, 401, "invalid_api_key"),
        ({"kind": "secret"}, ORIGIN, 401, "invalid_api_key"),
    ],
)
def test_a_page_that_is_refused_says_why_to_the_widget_only(
    client: Client, site: Site, change: dict[str, Any], origin: str, status: int, code: str
) -> None:
    if change:
        ApiKey.objects.filter(pk=site.row.pk).update(**change)
    response = page_of(client, site.key, origin)
    assert response.status_code == status
    assert f'data-code="{code}"' in response.content.decode()
    assert "<form" not in response.content.decode()
    assert site.begin(client, origin=origin).json()["error"]["code"] == code


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.com;report-uri https://evil.example",
        "https://a.com; script-src *",
        "https://a.com,b.com",
        "https://a.com 'unsafe-inline'",
        "https://b\u00fccher.example",
        "https://a.com\u3000x",
        "https://*",
        "https://a.com\tb",
        "https://a.com%0d%0ax",
        "https://[::1;x]",
        "https://[v1.x;y]",
        "https://*.*.com",
        f"https://{'a' * 300}.com",
        "https://user@a.com;x",
    ],
)
def test_no_origin_changes_the_policy_of_a_page(client: Client, site: Site, origin: str) -> None:
    response = page_of(client, site.key, origin)
    assert response.status_code == 403
    policy = policy_of(response)
    assert set(policy) == set(policy_of(page_of(client, site.key)))
    assert re.fullmatch(r"'none'|https://[a-z.]+", policy["frame-ancestors"])
    assert (
        response.headers["Content-Security-Policy"].isascii()
        and "=?" not in response.headers["Content-Security-Policy"]
    )


def test_the_secret_of_a_key_before_its_rotation_works_as_long_as_it_is_to(client: Client, site: Site) -> None:
    before, token = site.session(client), site.token()
    fresh = site.row.rotate(timedelta(days=1))
    assert page_of(client, site.key).status_code == page_of(client, fresh).status_code == 200
    assert site.session(client, user_token=token)["is_signed"]  # its aud is the former secret
    assert site.session(client, key=fresh, user_token=token)["is_signed"]
    assert site.session(client, key=fresh, session=before["session"])["user_id"] == before["user_id"]
    site.row.end_previous()
    assert page_of(client, site.key).status_code == 401
    assert code_of(site.begin(client, key=fresh, user_token=token)) == (401, "user_token_invalid")
    assert site.session(client, key=fresh, user_token=site.token(aud=fresh))["is_signed"]


def test_the_page_is_in_the_language_that_the_site_asks_for(client: Client, site: Site) -> None:
    assert 'lang="de"' in page_of(client, site.key, language="de").content.decode()
    assert 'lang="en"' in page_of(client, site.key, language="xx").content.decode()


def test_a_visitor_keeps_their_id_and_a_forged_session_is_none(client: Client, site: Site) -> None:
    first = site.session(client)
    assert first["user_id"].startswith("visitor:")
    assert site.session(client, session=first["session"])["user_id"] == first["user_id"]
    other = make_site()
    for session in (
        "fabra_ses_x",
        "fabra_ses_x:y:\ud800",
        first["session"][:-2] + "xx",
        other.session(client)["session"],
    ):
        assert site.session(client, session=session)["user_id"] != first["user_id"]


def test_a_token_that_is_refused_makes_no_session(client: Client, site: Site) -> None:
    assert code_of(site.begin(client, user_token=site.token(exp=1))) == (401, "user_token_expired")
    for token in ("x", "x.y.\ud800"):
        assert code_of(site.begin(client, user_token=token)) == (401, "user_token_invalid")
    assert code_of(site.begin(client, origin="https://\ud800")) == (403, "origin_forbidden")
    bound = make_site(users=["user_456"])
    assert code_of(bound.begin(client, user_token=bound.token())) == (403, "user_forbidden")
    assert bound.session(client, user_token=bound.token("user_456"))["is_signed"]


def test_a_session_sees_its_own_conversations_and_nothing_else(bot: None, client: Client, site: Site) -> None:
    session = site.session(client, user_token=site.token())["session"]
    own = Conversation.objects.create(user_id="user_123", title="Mine")
    theirs = Conversation.objects.create(user_id="user_456", title="Theirs")
    client.cookies["sessionid"] = "of-somebody-else"
    headers = {"Authorization": f"Bearer {session}"}
    listed = client.get("/api/conversations/", headers=headers).json()["results"]
    assert [conversation["title"] for conversation in listed] == ["Mine"]
    assert client.get(f"/api/conversations/{own.pk}/messages/", headers=headers).status_code == 200
    assert client.get(f"/api/conversations/{theirs.pk}/", headers=headers).status_code == 404
    assert code_of(client.get("/api/conversations/?user_id=user_456", headers=headers)) == (403, "user_forbidden")
    patched = client.patch(
        f"/api/conversations/{own.pk}/", {"title": "New"}, content_type="application/json", headers=headers
    )
    assert patched.status_code == 200
    assert client.get(f"/api/conversations/{own.pk}/export/?as=markdown", headers=headers).status_code == 200
    assert client.post(f"/chat/{own.pk}/stop", headers=headers).status_code == 200
    assert client.post(f"/chat/{theirs.pk}/stop", headers=headers).status_code == 404
    for path in ("/api/documents/", "/api/features/User/user_123/?names=user_tier", "/debug/context/user_123?query=a"):
        assert code_of(client.get(path, headers=headers)) == (403, "scope_missing"), path
    body = {"user_id": "user_123", "message": "x"}
    assert code_of(client.post("/chat", body, content_type="application/json", headers=headers))[0] == 403


def revoke(site: Site) -> None:
    ApiKey.objects.filter(pk=site.row.pk).update(revoked_at=timezone.now())


def expire(site: Site) -> None:
    ApiKey.objects.filter(pk=site.row.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def move(site: Site) -> None:
    ApiKey.objects.filter(pk=site.row.pk).update(origins=["https://elsewhere.example.com"])


def sign_in(site: Site) -> None:
    for user_id in Conversation.objects.values_list("user_id", flat=True).distinct():
        join(user_id, "user_123")


@pytest.mark.parametrize("change", [revoke, expire, move, sign_in])
def test_an_open_socket_ends_with_its_session(
    bot: None, client: Client, site: Site, change: Callable[[Site], None]
) -> None:
    session = site.session(client)

    async def run() -> None:
        socket, first = await begun(session["session"])
        assert first["type"] == "begun"
        assert (await say(socket))["type"] == "done"
        await sync_to_async(change)(site)
        assert (await say(socket))["code"] == SIGNED_OUT
        _, refused = await begun(session["session"])
        assert refused["code"] == SIGNED_OUT

    async_to_sync(run)()
    response = client.get("/api/conversations/", headers={"Authorization": f"Bearer {session['session']}"})
    assert response.status_code in (401, 403)


def test_a_socket_without_a_session_gets_nothing(bot: None, client: Client, site: Site) -> None:
    async def run() -> None:
        for first in (
            {"message": "How do I reset my password?", "user_id": "user_123"},
            {"type": "begin", "session": "fabra_ses_x"},
            {"type": "begin", "session": "fabra_ses_x:y:\ud800"},
            {"type": "begin", "session": 7, "language": ["de"]},
            {"type": "open", "conversation_id": 1, "after": 0},
        ):
            socket = socket_of("")
            assert await socket.connect()
            await socket.send(first)
            assert (await next_of(socket))["code"] == SIGNED_OUT

    async_to_sync(run)()
    assert not Message.objects.exists()


def test_a_session_speaks_for_its_user_whatever_the_message_says(bot: None, client: Client, site: Site) -> None:
    session = site.session(client)

    async def run() -> None:
        socket, _ = await begun(session["session"], "de")
        assert (await say(socket, user_id="user_123"))["type"] == "done"
        assert (await say(socket, "Ich möchte mit einem Menschen sprechen", user_id="user_456"))["state"] == "waiting"

    async_to_sync(run)()
    assert set(Message.objects.values_list("user_id", flat=True)) == {session["user_id"]}
    assert "Ein Mensch" in Message.objects.filter(role="notice").latest("pk").text  # in the site's language


def test_a_key_counts_with_the_address_of_visitors_but_not_of_users(bot: None, client: Client, settings: Any) -> None:
    settings.FABRA_RATE_LIMIT_ADDRESS = 1
    site = make_site(per_minute=3)
    tokens = ["", "", site.token("user_123"), site.token("user_456"), site.token("user_789")]

    async def run() -> list[str]:
        codes = []
        for token in tokens:
            session = await sync_to_async(site.session)(client, user_token=token)
            socket, _ = await begun(session["session"])
            codes.append((await say(socket)).get("code", "answered"))
        return codes

    assert async_to_sync(run)() == ["answered", "rate_limited", "answered", "answered", "rate_limited"]


def talked(client: Client, site: Site, count: int = 1) -> dict[str, Any]:
    """Return the session of a visitor with a conversation."""
    session = site.session(client)

    async def run() -> None:
        socket, _ = await begun(session["session"])
        answer = await say(socket)
        for _ in range(count - 1):
            await say(socket, "And on my phone?", conversation_id=answer["conversation_id"])

    async_to_sync(run)()
    return session


def test_signing_in_joins_what_the_visitor_said(bot: None, client: Client, site: Site) -> None:
    visitor = talked(client, site, 2)
    conversation = Conversation.objects.get()
    answer = conversation.messages.filter(role="assistant").earliest("id")
    Feedback.objects.create(message=answer, user_id=visitor["user_id"], value="up")
    customer = Customer.objects.create(user_id=visitor["user_id"])
    Ticket.objects.create(customer=customer, number=7, subject="Password")
    joined = site.session(client, session=visitor["session"], user_token=site.token("user_456"))
    assert (joined["user_id"], joined["joined"]) == ("user_456", 1)
    for model in (Conversation, Message, Feedback):
        assert set(model.objects.values_list("user_id", flat=True)) == {"user_456"}
    assert set(Trace.objects.values_list("user_id", flat=True)) == {"user_456"}
    assert Ticket.objects.get(number=7).customer.user_id == "user_456"
    # A deletion finds what stands under the visitor's id, too.
    Event.objects.filter(event_type="message_sent").update(
        payload={"conversation_id": conversation.pk, "said": "private"}
    )
    conversation.refresh_from_db()
    delete_conversation(conversation)
    assert not Trace.objects.exists()
    assert "private" not in str(list(Event.objects.values_list("payload", flat=True)))


def test_a_visitor_becomes_one_user_once(bot: None, client: Client, site: Site) -> None:
    visitor = talked(client, site)
    assert site.session(client, session=visitor["session"], user_token=site.token("user_456"))["joined"] == 1
    assert site.session(client, session=visitor["session"], user_token=site.token("user_123"))["joined"] == 0
    assert Conversation.objects.get().user_id == "user_456"
    assert site.session(client, session=visitor["session"])["user_id"] != visitor["user_id"]
    # A session of another user is no visitor's, and nothing of theirs is taken.
    ben = site.session(client, user_token=site.token("user_456"))
    assert site.session(client, session=ben["session"], user_token=site.token("user_123"))["joined"] == 0
    other = make_site()
    elsewhere = talked(client, other)
    assert site.session(client, session=elsewhere["session"], user_token=site.token())["joined"] == 0
    assert JoinedVisitor.objects.count() == 1


def test_what_another_tab_said_meanwhile_follows(bot: None, client: Client, site: Site) -> None:
    visitor = talked(client, site)
    join(visitor["user_id"], "user_456")
    Conversation.objects.create(user_id=visitor["user_id"], title="Late")
    again = site.session(client, session=visitor["session"], user_token=site.token("user_456"))
    assert again["joined"] == 1
    assert set(Conversation.objects.values_list("user_id", flat=True)) == {"user_456"}


def test_nothing_is_joined_while_the_bot_answers(client: Client, site: Site) -> None:
    visitor = site.session(client)
    busy = Conversation.objects.create(
        user_id=visitor["user_id"], queue=["00000000-0000-0000-0000-000000000001"],
        lease_until=timezone.now() + timedelta(hours=1),
    )  # fmt: skip
    with pytest.raises(StillAnswering):
        join(visitor["user_id"], "user_123")
    assert code_of(site.begin(client, session=visitor["session"], user_token=site.token())) == (409, "still_answering")
    assert not JoinedVisitor.objects.exists()
    Conversation.objects.filter(pk=busy.pk).update(
        lease_until=timezone.now() - timedelta(seconds=1)
    )  # its process died
    assert join(visitor["user_id"], "user_123") == 1


def test_a_session_ends_with_its_token(client: Client, site: Site) -> None:
    session = site.session(client, user_token=site.token(exp=int(time.time()) - 5))  # within the leeway
    response = client.get("/api/conversations/", headers={"Authorization": f"Bearer {session['session']}"})
    assert code_of(response) == (401, "session_ended")


def test_the_owner_of_the_key_must_still_be_allowed_to_chat(client: Client, django_user_model: Any) -> None:
    owner = django_user_model.objects.create_superuser("owner")
    site = make_site(owner=owner)
    session = site.session(client)["session"]
    assert read(session).key.pk == site.row.pk
    django_user_model.objects.filter(pk=owner.pk).update(is_active=False)
    assert code_of(site.begin(client))[1] == "invalid_api_key"
    response = client.get("/api/conversations/", headers={"Authorization": f"Bearer {session}"})
    assert code_of(response) == (401, "session_ended")
