"""Who may call the API: sessions by their permissions, keys by scopes, owner and bounds."""

import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.views import APIView

from chat.access.permissions import SCOPES
from chat.models import ApiKey, Conversation, Message
from chat.urls import pages
from retrieval.indexing.documents import index_document

pytestmark = pytest.mark.django_db

ASK = {"user_id": "user_123", "message": "How do I reset my password?"}
COMPLETION = {"model": "default", "user": "user_123", "messages": [{"role": "user", "content": ASK["message"]}]}
DOCUMENT = {"index_name": "docs", "entity_id": "a", "text": "Text."}
EVENT = {"event_type": "poked", "entity_id": "user_123", "id": "e1"}
TALK = 2**40
"""The id of a conversation, far from those that the database gives."""
ENDPOINTS: list[tuple[str, str, dict[str, Any] | None, str]] = [
    ("POST", "/chat", ASK, "chat.chat_as_user"),
    ("POST", "/v1/chat/completions", COMPLETION, "chat.chat_as_user"),
    ("GET", "/v1/models", None, "chat.chat_as_user"),
    ("GET", "/v1/models/default", None, "chat.chat_as_user"),
    ("GET", "/debug/context/user_123?query=password", None, "contexts.view_trace"),
    ("GET", "/api/features/User/user_123/?names=user_tier", None, "features.view_featurevalue"),
    ("GET", "/api/feature-sets/support/user_123/", None, "features.view_featurevalue"),
    ("GET", "/api/documents/", None, "retrieval.view_document"),
    ("GET", "/api/documents/billing/", None, "retrieval.view_document"),
    ("GET", "/api/search/?query=invoice", None, "retrieval.view_document"),
    ("POST", "/api/documents/", DOCUMENT, "retrieval.change_document"),
    ("DELETE", "/api/documents/billing/", None, "retrieval.delete_document"),
    ("POST", "/api/events/", EVENT, "events.add_event"),
    ("GET", "/api/events/e1/", None, "events.view_event"),
    ("POST", f"/api/conversations/{TALK}/assign/", {}, "chat.answer_conversation"),
]


@pytest.fixture(autouse=True)
def production(bot: None, settings: Any) -> None:
    settings.DEBUG = False
    Conversation.objects.create(pk=TALK, user_id="user_123")


def call(client: Client, method: str, path: str, body: Any = None, key: str = "", **meta: Any) -> Any:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return client.generic(
        method, path, "" if body is None else json.dumps(body), "application/json", headers=headers, **meta
    )


def code_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def pieces_of(response: Any) -> list[bytes]:
    return [piece async for piece in response]


def give(user: User, *names: str) -> None:
    user.user_permissions.set(Permission.objects.filter(codename__in=[name.partition(".")[2] for name in names]))


def test_each_endpoint_needs_its_own_permission(client: Client) -> None:
    staff = User.objects.create_user("clerk", is_staff=True)
    client.force_login(staff)
    every = {permission for *_, permission in ENDPOINTS}
    for method, path, body, permission in ENDPOINTS:
        give(staff, *every - {permission})
        assert code_of(call(client, method, path, body)) == (403, "permission_denied"), (method, path)
        give(staff, permission)
        assert call(client, method, path, body).status_code < 300, (method, path)


def test_the_table_of_scopes_has_every_permission_of_the_views() -> None:
    views = [getattr(pattern.callback, "cls", None) for pattern in pages]
    declared = {
        permission
        for view in views
        if view and issubclass(view, APIView)
        for permission in getattr(view, "permissions", {}).values()
    }
    assert declared == {permission for *_, permission in ENDPOINTS}
    assert declared == frozenset().union(*SCOPES.values())
    given = [permission for scope in SCOPES if scope != "search" for permission in SCOPES[scope]]
    assert len(given) == len(set(given)), "only reading documents is in two scopes"
    closed = [view for view in views if view and not view.permission_classes]
    assert not closed


def test_a_key_does_no_more_than_its_owner(client: Client) -> None:
    owner = User.objects.create_user("owner")
    _, key = ApiKey.make("k", ["ingest"], owner=owner)
    assert code_of(call(client, "GET", "/api/documents/", key=key)) == (403, "permission_denied")
    give(owner, "retrieval.view_document")
    assert call(client, "GET", "/api/documents/", key=key).status_code == 200
    assert code_of(call(client, "POST", "/api/documents/", DOCUMENT, key)) == (403, "permission_denied")
    assert code_of(call(client, "POST", "/chat", ASK, key)) == (403, "scope_missing")
    User.objects.filter(pk=owner.pk).update(is_active=False)
    assert code_of(call(client, "GET", "/api/documents/", key=key)) == (401, "invalid_api_key")


def test_a_key_is_bound_to_its_indexes(client: Client) -> None:
    index_document("docs", "birds", "# Birds\n\nPenguins.")
    _, key = ApiKey.make("k", ["ingest", "chat", "debug"], indexes=["docs"])
    listed = call(client, "GET", "/api/documents/", key=key).json()["results"]
    assert [search["index_name"] for search in listed] == ["docs"]
    assert call(client, "GET", "/api/search/?index_name=docs&query=penguins", key=key).json()["hits"]
    _, unbound = ApiKey.make("unbound", ["chat"])
    answer = call(client, "POST", "/chat", ASK, unbound).json()["message_id"]
    elsewhere = {"event_type": "doc_updated", "entity_id": "a", "payload": {"content": "x"}}
    here = elsewhere | {"payload": {"content": "x", "index": "docs"}, "id": "here"}
    for method, path, body in [
        ("GET", "/api/documents/?index_name=knowledge_base", None),
        ("GET", "/api/documents/billing/", None),
        ("DELETE", "/api/documents/billing/", None),
        ("POST", "/api/documents/", DOCUMENT | {"index_name": "other"}),
        ("GET", "/api/search/?query=invoice", None),
        ("POST", "/api/events/", elsewhere),
        ("POST", "/api/events/", elsewhere | {"event_type": "doc_deleted", "payload": {"index": "other"}}),
        ("POST", "/chat", ASK),
        ("POST", "/v1/chat/completions", COMPLETION),
        ("GET", "/debug/context/user_123?query=password", None),
        ("GET", f"/api/messages/{answer}/passages/?user_id=user_123", None),
    ]:
        assert code_of(call(client, method, path, body, key)) == (403, "index_forbidden"), (method, path, body)
    talk = Message.objects.get(pk=answer).conversation_id
    for page in ("messages", "export"):
        path = f"/api/conversations/{talk}/{page}/?user_id=user_123"
        for reader, is_shown in ((unbound, True), (key, False)):
            body = call(client, "GET", path, key=reader)
            text = b"".join(async_to_sync(pieces_of)(body)) if body.streaming else body.content
            assert bool(json.loads(text)["messages"][-1]["citations"]) is is_shown, page
    assert call(client, "POST", "/api/events/", here, key).status_code == 202
    assert call(client, "GET", "/api/events/here/", key=key).status_code == 200
    batch = call(client, "POST", "/api/events/", {"events": [here | {"id": "b"}, elsewhere]}, key)
    assert code_of(batch) == (403, "batch_refused")
    assert batch.json()["error"]["items"][0]["code"] == "index_forbidden"


def test_a_key_is_bound_to_its_users(client: Client) -> None:
    _, key = ApiKey.make("k", ["chat", "debug", "ingest"], users=["user_123"])
    for method, path, body in [
        ("POST", "/chat", ASK | {"user_id": "user_456"}),
        ("POST", "/chat", ASK | {"user_id": "User_123"}),
        ("POST", "/v1/chat/completions", COMPLETION | {"user": "user_456"}),
        ("GET", "/debug/context/user_456?query=password", None),
        ("GET", "/api/features/User/user_456/?names=user_tier", None),
        ("POST", "/api/events/", EVENT | {"entity_id": "user_456"}),
    ]:
        assert code_of(call(client, method, path, body, key)) == (403, "user_forbidden"), (method, path, body)
    for method, path, body, _ in ENDPOINTS[:6]:
        assert call(client, method, path, body, key).status_code == 200
    assert call(client, "POST", "/api/events/", EVENT, key).status_code == 202


@pytest.mark.parametrize(
    ("address", "forwarded", "is_allowed"),
    [
        ("192.0.2.9", "", True),
        ("::ffff:192.0.2.9", "", True),
        ("192.0.3.1", "", False),
        ("2001:db8::7", "", True),
        ("192.0.3.1", "192.0.2.9", False),  # nobody vouches for that
        ("10.0.0.1", "192.0.2.9", True),
        ("10.0.0.1", "192.0.2.9, 192.0.3.1", False),
        ("10.0.0.1", "192.0.3.1, 192.0.2.9", True),
        ("10.0.0.1", "", False),
    ],
)
def test_a_key_is_bound_to_its_addresses(
    client: Client, settings: Any, address: str, forwarded: str, is_allowed: bool
) -> None:
    from common.client_address import parse_network

    settings.FABRA_TRUSTED_PROXIES = [parse_network("10.0.0.0/8")]
    _, key = ApiKey.make("k", ["ingest"], networks=["192.0.2.0/24", "2001:db8::/32"])
    meta = {"REMOTE_ADDR": address} | ({"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {})
    response = call(client, "GET", "/api/documents/", key=key, **meta)
    if is_allowed:
        assert response.status_code == 200
    else:
        assert code_of(response) == (403, "address_forbidden")


@pytest.mark.parametrize("name", ["per_minute", "per_day"])
def test_a_key_has_a_limit_of_its_own_over_all_doors(client: Client, name: str) -> None:
    _, key = ApiKey.make("k", ["ingest", "chat"], **{name: 3})
    _, other = ApiKey.make("o", ["ingest"], **{name: 3})
    assert call(client, "GET", "/api/documents/", key=key).status_code == 200
    assert call(client, "POST", "/chat", ASK, key).status_code == 200
    assert call(client, "POST", "/chat", ASK | {"user_id": "user_456"}, key).status_code == 200
    refused_calls = [("GET", "/api/documents/", None), ("POST", "/chat", ASK), ("GET", "/v1/models", None)]
    for method, path, body in [*refused_calls, ("POST", "/v1/chat/completions", COMPLETION)]:
        refused = call(client, method, path, body, key)
        assert code_of(refused) == (429, "rate_limit_exceeded" if path.startswith("/v1/") else "rate_limited")
        assert 0 < int(refused.headers["Retry-After"]) <= (60 if name == "per_minute" else 86_400)
        assert refused.headers["X-RateLimit-Limit"] == "3"
    assert call(client, "GET", "/api/documents/", key=other).status_code == 200


def test_a_refused_message_uses_up_no_other_limit(client: Client) -> None:
    _, key = ApiKey.make("k", ["chat"], per_minute=1)
    assert call(client, "POST", "/chat", ASK, key).headers["X-RateLimit-Remaining"] == "99"
    assert call(client, "POST", "/chat", ASK, key).status_code == 429
    _, free = ApiKey.make("f", ["chat"])
    assert call(client, "POST", "/chat", ASK, free).headers["X-RateLimit-Remaining"] == "98"


def test_without_redis_postgresql_counts_a_keys_requests(client: Client, redis_down: None) -> None:
    _, key = ApiKey.make("k", ["ingest", "chat"], per_minute=2)
    assert call(client, "GET", "/api/documents/", key=key).status_code == 200
    assert call(client, "POST", "/chat", ASK, key).status_code == 200
    assert code_of(call(client, "POST", "/chat", ASK, key)) == (429, "rate_limited")
    assert code_of(call(client, "GET", "/api/documents/", key=key)) == (429, "rate_limited")


def test_development_is_not_open_through_a_proxy_on_this_machine(client: Client, settings: Any) -> None:
    settings.DEBUG = True
    assert call(client, "GET", "/api/documents/").status_code == 200
    for header in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP"):
        assert call(client, "GET", "/api/documents/", **{header: "127.0.0.1"}).status_code == 401


def test_the_command_binds_a_key() -> None:
    User.objects.create_user("owner")
    call_command(
        "create_api_key", "cms", "--scope", "ingest", "--owner", "owner", "--index", "docs", "--user", "u",
        "--address", "192.0.2.7", "--per-minute", "5", "--per-day", "50",
    )  # fmt: skip
    row = ApiKey.objects.get()
    assert (row.owner and row.owner.username, row.indexes, row.users) == ("owner", ["docs"], ["u"])
    assert (row.networks, row.per_minute, row.per_day) == (["192.0.2.7/32"], 5, 50)
    for wrong in (["--owner", "none"], ["--address", "here"], ["--per-day", "0"], ["--user", " u"]):
        with pytest.raises(CommandError):
            call_command("create_api_key", "cms", "--scope", "ingest", *wrong)


@pytest.mark.parametrize(
    "user_id",
    [" user_123", "user_123 ", "user_123\n", "\tuser_123", "user\u200b_123", "user\u00ad_123", "user\u00a0_123",
     "user\u202e_123", "user\ufeff_123", "user_123\u2028", "user\u3164_123", "user\x7f_123", "user\ufe0f_123"],
)  # fmt: skip
def test_a_user_id_that_only_looks_like_another_is_refused_at_every_door(client: Client, user_id: str) -> None:
    from urllib.parse import quote

    _, key = ApiKey.make("k", ["chat", "debug", "ingest"])
    in_path = quote(user_id, safe="")
    for method, path, body in [
        ("POST", "/chat", ASK | {"user_id": user_id}),
        ("POST", "/v1/chat/completions", COMPLETION | {"user": user_id}),
        ("GET", f"/debug/context/{in_path}?query=password", None),
        ("GET", f"/api/features/User/{in_path}/?names=user_tier", None),
        ("POST", "/api/events/", EVENT | {"entity_id": user_id}),
    ]:
        assert call(client, method, path, body, key).status_code == 400, (method, path, user_id)


def test_a_user_id_is_compared_in_one_form_and_its_case_kept(client: Client, settings: Any) -> None:
    settings.FABRA_RATE_LIMIT_DEFAULT = 1
    _, key = ApiKey.make("k", ["chat"])
    assert call(client, "POST", "/chat", ASK | {"user_id": "Jose\u0301"}, key).status_code == 200
    assert call(client, "POST", "/chat", ASK | {"user_id": "José"}, key).status_code == 429
    assert call(client, "POST", "/chat", ASK | {"user_id": "josé"}, key).status_code == 200


def test_the_chat_page_follows_the_permissions(client: Client) -> None:
    staff = User.objects.create_user("clerk", is_staff=True)
    client.force_login(staff)
    for names, is_choosing, is_tracing in [
        ((), False, False),
        (("chat.chat_as_user",), True, False),
        (("contexts.view_trace",), False, True),
    ]:
        give(staff, *names)
        page = client.get("/")
        assert bool(page.context["users"]) is is_choosing
        assert ('id="user"' in page.content.decode()) is is_choosing
        assert ("data-trace-url" in page.content.decode()) is is_tracing


def test_the_schema_is_for_keys_and_accounts_with_a_permission_of_the_api(client: Client, settings: Any) -> None:
    settings.FABRA_API_DOCS = False
    staff = User.objects.create_user("clerk", is_staff=True)
    client.force_login(staff)
    assert client.get("/api/schema/").status_code == 403
    give(staff, "events.view_event")
    assert client.get("/api/schema/").status_code == 200
    _, key = ApiKey.make("k", ["chat"])
    assert call(Client(), "GET", "/api/schema/", None, key).status_code == 200
    assert Client().get("/api/schema/").status_code == 401


def test_a_key_that_is_bound_to_contexts_calls_no_other(client: Client, another_context: str) -> None:
    _, key = ApiKey.make("site", ["chat"], contexts=[another_context])
    answered = call(client, "POST", "/chat", ASK, key)  # without a name it calls the first of its own
    assert (answered.status_code, "Only this." in answered.json()["context_used"]) == (200, True)
    refused = call(client, "POST", "/chat", ASK | {"context": "chat_context"}, key)
    assert code_of(refused) == (403, "context_forbidden")


def test_a_context_is_chosen_by_its_declared_name_only(client: Client, another_context: str) -> None:
    _, key = ApiKey.make("server", ["chat"])
    assert "Only this." in call(client, "POST", "/chat", ASK | {"context": another_context}, key).json()["context_used"]
    for name in ("retriever_of_passages", "chat_context.py", "os"):
        assert code_of(call(client, "POST", "/chat", ASK | {"context": name}, key)) == (404, "not_found")
