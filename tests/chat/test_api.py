"""The API for a CMS or a script, and who may call it."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from chat.models import ApiKey
from retrieval.models import Document

pytestmark = pytest.mark.django_db


@pytest.fixture
def production(settings: Any) -> None:
    settings.DEBUG = False
    settings.SECURE_SSL_REDIRECT = False


def post(client: Client, address: str, body: Any, **extra: Any) -> Any:
    return client.post(address, body, content_type="application/json", **extra)


class TestDocuments:
    def test_a_document_is_indexed_read_listed_and_deleted(self, bot: None, client: Client) -> None:
        body = {
            "index_name": "docs",
            "entity_id": "a/b c",
            "text": "# Birds\n\nPenguins.",
            "metadata": {"k": [1, None]},
        }
        created = post(client, "/api/documents/", body)
        assert (created.status_code, created.json()["version"], created.json()["chunk_count"]) == (201, 1, 1)
        assert post(client, "/api/documents/", body).status_code == 200
        shown = client.get("/api/documents/a/b c/", {"index_name": "docs"}).json()
        assert (shown["text"], shown["title"], shown["metadata"], shown["version"]) == (
            body["text"],
            "Birds",
            body["metadata"],
            1,
        )
        listed = client.get("/api/documents/", {"index_name": "docs"}).json()["results"]
        assert [document["entity_id"] for document in listed] == ["a/b c"]
        assert client.delete("/api/documents/a/b c/?index_name=docs").status_code == 204
        gone = client.delete("/api/documents/a/b c/?index_name=docs")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "document_not_found")
        assert client.get("/api/search/", {"index_name": "docs", "query": "penguins"}).json()["hits"] == []

    def test_a_field_that_is_not_known_is_refused(self, bot: None, client: Client) -> None:
        body = {"index_name": "docs", "entity_id": "a", "text": "Penguins.", "audiance": ["staff"]}
        refused = post(client, "/api/documents/", body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_input")
        assert refused.json()["error"]["message"].startswith("audiance: There is no such field")
        assert not Document.objects.filter(index__name="docs").exists()

    def test_lists_go_page_by_page(self, bot: None, client: Client) -> None:
        first = client.get("/api/documents/", {"page_size": 1}).json()
        second = client.get(first["next"]).json()
        assert [len(page["results"]) for page in (first, second)] == [1, 1]
        assert second["next"] is None
        assert first["results"] != second["results"]


class TestEvents:
    def test_an_event_is_taken_once_and_can_be_looked_up(self, bot: None, client: Client) -> None:
        body = {"event_type": "doc_updated", "entity_id": "billing", "payload": {"content": "New text."}, "id": "cms-1"}
        assert post(client, "/api/events/", body).status_code == 202
        assert post(client, "/api/events/", body).status_code == 200
        conflict = post(client, "/api/events/", {**body, "payload": {"content": "Other."}})
        assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "event_conflict")
        shown = client.get("/api/events/cms-1/").json()
        assert (shown["id"], shown["state"], shown["handlers"]) == ("cms-1", "received", [])
        assert client.get("/api/events/none/").status_code == 404

    def test_what_is_wrong_with_it_is_told(self, bot: None, client: Client) -> None:
        body = {"event_type": "x", "entity_id": "e"}
        for more, status in [
            ({"occurred_at": "yesterday"}, 400),
            ({"occurred_at": (timezone.now() + timedelta(hours=1)).isoformat()}, 400),
            ({"payload": [1]}, 400),
            ({"payload": {"a": "x" * 2_600_000}}, 413),
        ]:
            assert post(client, "/api/events/", {**body, **more}).status_code == status, list(more)


class TestSearchAndFeatures:
    def test_search_returns_hits(self, bot: None, client: Client) -> None:
        body = client.get("/api/search/", {"index_name": "knowledge_base", "query": "invoice", "top_k": "1"}).json()
        assert [hit["document_id"] for hit in body["hits"]] == ["billing"]
        for query, status in [
            ({"query": "a"}, 200),
            ({"query": "a", "index_name": "none"}, 404),
            ({"query": "a", "rerank": "perhaps"}, 400),
            ({"index_name": "knowledge_base"}, 400),
            ({"index_name": "knowledge_base", "query": "a", "top_k": "x"}, 400),
        ]:
            assert client.get("/api/search/", query).status_code == status

    def test_features_come_with_age_and_source(self, bot: None, client: Client) -> None:
        body = client.get("/api/features/User/user_123/", {"names": "user_tier,support_history"}).json()
        assert body["features"]["user_tier"]["value"] == "premium"
        assert body["features"]["support_history"]["source"] == "computed"
        for address, query, status in [
            ("User", {}, 400),
            ("User", {"names": "none"}, 404),
            ("Nobody", {"names": "user_tier"}, 404),
        ]:
            assert client.get(f"/api/features/{address}/u/", query).status_code == status


class TestAccess:
    ADDRESSES = [
        "/api/documents/",
        "/api/search/?index_name=knowledge_base&query=a",
        "/debug/context/u?query=a",
        "/api/features/User/u/?names=user_tier",
    ]

    def test_in_production_each_door_needs_its_scope(self, bot: None, production: None, client: Client) -> None:
        _, chat_key = ApiKey.make("chat", ["chat"])
        _, all_key = ApiKey.make("all", ["chat", "ingest", "debug"])
        for address in self.ADDRESSES:
            none = client.get(address)
            assert (none.status_code, none.headers["WWW-Authenticate"]) == (401, 'Bearer realm="api"'), address
            assert client.get(address, headers={"Authorization": f"Bearer {chat_key}"}).status_code == 403, address
            assert client.get(address, headers={"Authorization": f"Bearer {all_key}"}).status_code == 200, address
        body = {"user_id": "u", "message": "How do I reset my password?"}
        assert post(client, "/chat", body).status_code == 401
        assert post(client, "/chat", body, headers={"X-API-Key": chat_key}).status_code == 200

    def test_development_is_open_on_loopback_only(self, bot: None, client: Client) -> None:
        assert client.get("/api/documents/").status_code == 200
        assert client.get("/api/documents/", REMOTE_ADDR="10.0.0.7").status_code == 401

    def test_revoked_expired_and_unknown_keys_are_refused(self, production: None, client: Client) -> None:
        now = timezone.now()
        rows = [ApiKey.make("a", ["ingest"])[1] for _ in range(2)]
        ApiKey.objects.filter(digest=ApiKey.digest_of(rows[0])).update(revoked_at=now)
        ApiKey.objects.filter(digest=ApiKey.digest_of(rows[1])).update(expires_at=now - timedelta(seconds=1))
        for key in [*rows, "fabra_unknown", "ä", "x" * 5000]:
            response = client.get("/api/documents/", headers={"Authorization": f"Bearer {key}"})
            assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")

    def test_a_session_with_the_permission_may_debug_and_staff_alone_may_not(
        self, bot: None, production: None, client: Client
    ) -> None:
        users = get_user_model().objects
        staff = users.create_user("staff", password="x", is_staff=True)
        client.login(username="staff", password="x")
        assert client.get("/debug/context/u?query=a").status_code == 403
        staff.user_permissions.add(Permission.objects.get(codename="view_trace"))
        assert client.get("/debug/context/u?query=a").status_code == 200

    def test_the_page_wants_a_signed_in_user_in_production(
        self, bot: None, production: None, client: Client, settings: Any
    ) -> None:
        assert client.get("/").status_code == 302
        settings.FABRA_CHAT_PUBLIC = True
        assert client.get("/").status_code == 200

    def test_any_user_may_sign_in_to_the_page_and_out_again(self, bot: None, production: None, client: Client) -> None:
        get_user_model().objects.create_user("ben", password="right")
        page = client.get("/", follow=True)
        (address, _), = page.redirect_chain  # fmt: skip
        refused = client.post(address, {"username": "ben", "password": "wrong", "next": page.context["next"]})
        assert "Please enter a correct username and password" in refused.content.decode()
        entered = client.post(
            address, {"username": "ben", "password": "right", "next": page.context["next"]}, follow=True
        )
        assert (entered.request["PATH_INFO"], entered.status_code) == ("/", 200)
        assert "Sign out" in entered.content.decode()
        assert client.post("/logout/", follow=True).request["PATH_INFO"] == "/login/"
        assert client.get("/").status_code == 302

    def test_the_admins_own_sign_in_ends_in_the_admin(self, production: None, client: Client) -> None:
        get_user_model().objects.create_superuser("ada", password="right")
        assert client.post("/admin/login/", {"username": "ada", "password": "right"}).headers["Location"] == "/admin/"

    def test_a_key_is_made_by_a_command_and_kept_as_a_hash(self) -> None:
        out = StringIO()
        call_command("create_api_key", "cms", "--scope", "ingest", "--scope", "chat", "--expires", "90d", stdout=out)
        key, row = out.getvalue().strip(), ApiKey.objects.get()
        assert ApiKey.authenticate(key) == row
        assert row.scopes == ["chat", "ingest"]
        assert row.expires_at is not None
        assert key not in {str(value) for value in vars(row).values()}
        with pytest.raises(CommandError):
            call_command("create_api_key", "cms", "--scope", "ingest", "--expires", "soon")


def test_the_schema_and_its_pages_need_no_network(client: Client, settings: Any) -> None:
    settings.FABRA_API_DOCS = True
    schema = client.get("/api/schema/?format=json").json()
    assert {"/chat", "/api/documents/", "/api/events/", "/api/search/", "/debug/context/{user_id}"} <= schema[
        "paths"
    ].keys()
    page = client.get("/api/docs/").content.decode()
    assert "swagger-ui" in page
    assert "cdn" not in page


def test_health_tells_what_is_down(db: Any, client: Client, redis_down: None) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["redis"], ready.json()["postgresql"]) == (200, "unavailable", "ok")
