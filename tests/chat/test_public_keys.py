"""What a public key may do: chat, from pages of its origins, for the user whom its site has signed; nothing else."""

import json
import time
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, User
from django.test import Client

from chat.models import ApiKey, Conversation, Message
from common.client_address import parse_network
from contexts.declaration import context
from contexts.items import ContextItem
from contexts.models import Trace
from contexts.store import FeatureStore
from features.declaration import feature
from features.models import FeatureValue
from retrieval.indexing.documents import index_document
from tests.chat.sites import ORIGIN, Site, make_site
from tests.chat.test_access import ASK, ENDPOINTS, code_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def production(bot: None, settings: Any) -> None:
    settings.DEBUG = False


@pytest.fixture
def site() -> Site:
    return make_site()


def ask(client: Client, site: Site, token: str = "", body: Any = None, **headers: Any) -> Any:
    sent = site.headers(token, **headers)
    return client.post("/chat", body or ASK, content_type="application/json", headers=sent)


def test_a_signed_user_asks_with_a_public_key(client: Client, site: Site) -> None:
    response = ask(client, site, site.token())
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert Conversation.objects.get().user_id == "user_123"
    mine = client.get("/api/conversations/?user_id=user_123", headers=site.headers(site.token()))
    assert len(mine.json()["results"]) == 1


def test_a_page_can_read_that_its_answer_was_given_before(client: Client, site: Site) -> None:
    again = [ask(client, site, site.token(), **{"Idempotency-Key": "one"}) for _ in range(2)][1]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" in again.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("is_repeated", [False, True])
def test_a_browser_gets_neither_what_the_model_got_nor_what_it_cost(
    client: Client, site: Site, is_repeated: bool
) -> None:
    client_id = "2f1f9f0a-6a3c-4b53-8d5e-0a4b6f1c9d11"
    for stream in (False, True):
        body = ASK | {"stream": stream} | ({"client_id": client_id} if is_repeated else {})
        response = ask(client, site, site.token(), body)
        if stream:
            text = async_to_sync(whole)(response)
            answered = json.loads(text.split("event: done\ndata: ")[1].split("\n")[0])
        else:
            answered = response.json()
            text = response.content.decode()
        assert answered["response"] and answered["citations"]
        assert not {"context_used", "usage", "model"} & set(answered)
        assert "Subject 102" not in text  # the tickets of the user, a feature that the model got


async def whole(response: Any) -> str:
    return b"".join([part async for part in response]).decode()


def test_a_sites_user_does_not_find_what_is_for_the_account_of_the_same_name(
    client: Client, site: Site, use_context: Any
) -> None:
    @context(name="searching", max_tokens=1000)
    async def searching(user_id: str, query: str) -> list[ContextItem]:
        return [ContextItem(hit.content) for hit in await FeatureStore().search("knowledge_base", query)]

    use_context(searching)
    index_document("knowledge_base", "staff", "# Passwords\n\nHow staff reset a password.", audience=["staff"])
    account = User.objects.create(username="user_123")
    account.groups.add(Group.objects.create(name="staff"))
    of_site = ask(client, site, site.token()).json()
    seen_by_model = Trace.objects.select_related("body").get(pk=of_site["context_id"]).body.text
    _, key = ApiKey.make("server", ["chat"])
    of_server = client.post(
        "/chat", ASK, content_type="application/json", headers={"Authorization": f"Bearer {key}"}
    ).json()
    assert "How staff reset a password." in of_server["context_used"]
    assert "How staff reset a password." not in seen_by_model


def test_it_acts_for_nobody_but_whom_the_site_has_signed(client: Client, site: Site) -> None:
    assert code_of(ask(client, site)) == (401, "user_token_missing")
    assert code_of(ask(client, site, site.token("user_456"))) == (403, "user_forbidden")
    assert code_of(ask(client, site, site.token(exp=1))) == (401, "user_token_expired")
    assert code_of(ask(client, site, "x")) == (401, "user_token_invalid")
    theirs = client.get("/api/conversations/?user_id=user_456", headers=site.headers(site.token()))
    assert code_of(theirs) == (403, "user_forbidden")
    assert not Message.objects.exists()


def test_it_reaches_no_endpoint_but_the_chats_whatever_its_scopes_say(client: Client, site: Site) -> None:
    site.row.scopes = ["chat", "debug", "ingest"]
    type(site.row).objects.filter(pk=site.row.pk).update(scopes=["chat"])
    for method, path, body, _ in ENDPOINTS[1:]:
        headers = {"headers": site.headers(site.token())}
        refused = client.generic(method, path, json.dumps(body) if body else "", "application/json", **headers)
        assert refused.status_code == 403, (method, path)
        assert code_of(refused)[1] in ("scope_missing", "secret_key_needed"), (method, path)


def test_it_does_not_read_the_apis_schema(client: Client, site: Site) -> None:
    assert client.get("/api/schema/", headers=site.headers(site.token())).status_code == 403


@pytest.mark.parametrize(
    ("origins", "origin", "is_allowed"),
    [
        ([ORIGIN], ORIGIN, True),
        ([ORIGIN], "https://evil.example.com", False),
        ([ORIGIN], "http://shop.example.com", False),
        ([ORIGIN], "https://shop.example.com:8443", False),
        ([ORIGIN], "https://shop.example.com.evil.com", False),
        ([ORIGIN], "null", False),
        ([ORIGIN], "", False),
        ([], ORIGIN, False),
        (["https://Shop.example.com/"], ORIGIN, True),
        (["https://*.example.com"], ORIGIN, True),
        (["https://*.example.com"], "https://evilexample.com", False),
    ],
)
def test_it_is_used_from_pages_of_its_origins(
    client: Client, origins: list[str], origin: str, is_allowed: bool
) -> None:
    site = make_site(origins=origins)
    response = ask(client, site, site.token(), origin=origin)
    if is_allowed:
        assert response.status_code == 200
    else:
        assert code_of(response) == (403, "origin_forbidden")
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    permission = client.options("/chat", headers={name: value for name, value in asked.items() if value})
    assert (permission.headers.get("Access-Control-Allow-Origin") == origin) is (is_allowed and bool(origin))


def test_a_browser_that_asks_before_is_answered_for_the_chat_only(client: Client, site: Site) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    allowed = client.options("/chat", headers=asked)
    assert allowed.status_code == 204
    assert "X-Fabra-User" in allowed.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in allowed.headers
    for path in ("/api/documents/", "/api/features/User/a/", "/debug/context/a", "/admin/", "/embed/session"):
        assert "Access-Control-Allow-Origin" not in client.options(path, headers=asked).headers
    site.row.revoked_at = "2026-01-01T00:00Z"
    site.row.save()
    assert code_of(client.options("/chat", headers=asked)) == (403, "origin_forbidden")


def test_no_other_answer_is_readable_by_another_site(client: Client, site: Site) -> None:
    plain = client.post("/chat", ASK, content_type="application/json", headers={"Origin": ORIGIN})
    assert "Access-Control-Allow-Origin" not in plain.headers


def test_its_own_limit_counts(client: Client) -> None:
    site = make_site(per_minute=1)
    assert ask(client, site, site.token()).status_code == 200
    refused = ask(client, site, site.token("user_456"), ASK | {"user_id": "user_456"})
    assert code_of(refused) == (429, "rate_limited")


def test_a_key_that_is_bound_to_an_index_a_user_or_a_network_stays_so(client: Client, settings: Any) -> None:
    for bounds, code in [
        ({"indexes": ["docs"]}, "index_forbidden"),
        ({"users": ["user_456"]}, "user_forbidden"),
        ({"networks": [str(parse_network("192.0.2.0/24"))]}, "address_forbidden"),
        ({"contexts": ["not_declared"]}, "not_found"),
    ]:
        site = make_site(**bounds)
        assert ask(client, site, site.token()).json()["error"]["code"] == code


def test_what_the_site_says_of_its_user_decides_their_tier_only_if_it_is_signed(
    client: Client, site: Site, settings: Any
) -> None:
    @feature(entity="User", source="token", default_value="free")
    def plan(user_id: str, trait: str) -> str:
        return trait

    settings.FABRA_TIER_FEATURE = "plan"
    body = ASK | {"user_id": "user_456"}
    unsigned = ask(client, site, site.token("user_456"), body | {"traits": {"plan": "premium"}, "plan": "premium"})
    assert unsigned.headers["X-RateLimit-Limit"] == "20"
    signed = ask(client, site, site.token("user_456", traits={"plan": "premium"}), body)
    assert signed.headers["X-RateLimit-Limit"] == "100"
    session = site.session(client, user_token=site.token("user_789", traits={"plan": "premium"}))
    assert session["is_signed"]
    assert FeatureValue.objects.get(feature="plan", entity_key="user_789").source == "token"


@pytest.mark.parametrize("has_iat", [True, False])
def test_an_older_token_that_is_sent_again_puts_no_former_tier_back(
    client: Client, site: Site, settings: Any, has_iat: bool
) -> None:
    @feature(entity="User", source="token", default_value="free")
    def plan(user_id: str, trait: str) -> str:
        return trait

    settings.FABRA_TIER_FEATURE = "plan"
    now = int(time.time())

    def limit_of(token: str) -> str:
        return str(ask(client, site, token).headers["X-RateLimit-Limit"])

    def token_of(tier: str, made: int) -> str:
        return site.token(exp=made + 300, traits={"plan": tier}, **({"iat": made} if has_iat else {}))

    older, newer = token_of("premium", now - 120), token_of("free", now - 60)
    assert [limit_of(token) for token in (older, newer, older)] == ["100", "20", "20"]
    assert FeatureValue.objects.filter(feature="plan").count() == 2


def test_a_sites_user_is_no_account_and_no_user_of_another_site(client: Client) -> None:
    """Each has an id of their own here, whatever their site calls them."""
    ben = User.objects.create_user("user_123")
    own = Conversation.objects.create(user_id="user_123", title="Of the account")
    _, server_key = ApiKey.make("server", ["chat"])
    sites = [make_site(user_prefix=None) for _ in range(2)]
    answered = [ask(client, site, site.token()).json() for site in sites]
    ids = [f"shop-{site.row.pk}:user_123" for site in sites]
    seen = Conversation.objects.in_bulk([answer["conversation_id"] for answer in answered]).values()
    assert [row.user_id for row in sorted(seen, key=lambda row: row.pk)] == ids
    for site, user_id, mine, theirs in zip(sites, ids, answered, reversed(answered), strict=True):
        headers = site.headers(site.token())
        for name in ("user_123", user_id):  # as the site has it, and as the bot does
            listed = client.get("/api/conversations/", {"user_id": name}, headers=headers).json()["results"]
            assert [row["id"] for row in listed] == [mine["conversation_id"]]
            passages = f"/api/messages/{mine['message_id']}/passages/"
            assert client.get(passages, {"user_id": name}, headers=headers).status_code == 200
        for path in (f"/api/conversations/{own.pk}/", f"/api/messages/{theirs['message_id']}/passages/"):
            assert client.get(path, {"user_id": "user_123"}, headers=headers).status_code == 404, path
        session = site.session(client, user_token=site.token())
        assert session["user_id"] == user_id
        embedded = client.get("/api/conversations/", headers={"Authorization": f"Bearer {session['session']}"})
        assert [row["id"] for row in embedded.json()["results"]] == [mine["conversation_id"]]
    client.force_login(ben)
    assert [row["id"] for row in client.get("/api/conversations/").json()["results"]] == [own.pk]
    of_server = {"headers": {"Authorization": f"Bearer {server_key}"}}
    by_name = client.get("/api/conversations/", {"user_id": ids[0]}, **of_server).json()["results"]
    assert [row["id"] for row in by_name] == [answered[0]["conversation_id"]]  # a server may act for anybody


def test_a_key_that_is_bound_to_users_names_them_as_the_bot_does(client: Client) -> None:
    site = make_site(user_prefix="shop:", users=["shop:user_123"])
    assert ask(client, site, site.token()).status_code == 200
    assert code_of(ask(client, site, site.token("user_456"), ASK | {"user_id": "user_456"})) == (403, "user_forbidden")
