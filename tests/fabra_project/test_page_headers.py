"""Every answer says what a browser may do with it: a content security policy, no sniffing, no caching, HTTPS."""

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client

from chat.models import ApiKey
from chat.serving.middleware import PagePolicies
from fabra_project.static_files import with_static_files

STATIC = "/static/chat/chat.css"


def fetch_static(path: str, scheme: str = "http", host: bytes = b"localhost") -> tuple[int, dict[str, str]]:
    """Return the status and the headers of a static file, from an application made with the settings of now."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def nothing_else(*_: Any) -> None:
        raise AssertionError("not a static file")

    scope = {
        "type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [(b"host", host)],
        "scheme": scheme, "server": ("localhost", 80),
    }  # fmt: skip
    asyncio.run(with_static_files(nothing_else)(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers


@pytest.mark.parametrize(
    "path", ["/", "/login/", "/admin/login/", "/api/schema/", "/api/docs/", "/healthz", "/nothing"]
)
def test_every_answer_has_its_headers(path: str, db: None, client: Client, settings: Any) -> None:
    settings.FABRA_CHAT_PUBLIC = settings.FABRA_API_DOCS = True
    response = client.get(path)
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
    assert ("unsafe-eval" in policy) is path.startswith("/admin/")
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.usefixtures("embedder")
def test_answers_about_a_user_are_in_no_cache(client: Client, admin_client: Client, settings: Any) -> None:
    settings.DEBUG = True
    asked = {"user_id": "a", "message": "How?"}
    posts = [asked, asked | {"user_id": ""}, asked | {"stream": True}]
    answers = [client.post("/chat", body, content_type="application/json") for body in posts]
    answers += [client.get("/debug/context/user_123?query=a")]
    paths = ("/api/documents/", "/api/search/?query=a", "/api/features/User/a/?names=x", "/api/nothing/")
    answers += [client.get(path) for path in paths]
    answers += [admin_client.get(path) for path in ("/admin/", "/admin/contexts/trace/", "/")]
    assert all("no-store" in answer.headers["Cache-Control"] for answer in answers)


def test_a_script_in_a_page_needs_the_nonce_of_its_answer(db: None, rf: Any) -> None:
    found = []
    page = PagePolicies(lambda request: HttpResponse(str(request.csp_nonce)))
    for _ in range(2):
        response = page(rf.get("/"))
        nonce = response.content.decode()
        assert f"script-src 'self' 'nonce-{nonce}'" in response.headers["Content-Security-Policy"]
        found.append(nonce)
    assert found[0] != found[1]


def test_static_files_have_headers_and_https_as_pages_have(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = False, 0
    status, headers = fetch_static(STATIC)
    assert (status, headers["content-type"]) == (200, 'text/css; charset="utf-8"')
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "sandbox" in headers["content-security-policy"]
    assert "strict-transport-security" not in headers
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 3600
    status, headers = fetch_static(STATIC)
    assert (status, headers["location"]) == (301, f"https://localhost{STATIC}")
    status, headers = fetch_static(STATIC, scheme="https")
    assert status == 200
    assert headers["strict-transport-security"].startswith("max-age=3600")
    assert fetch_static(STATIC, host=b"evil.example")[0] == 400
    status, headers = fetch_static("/static/nothing.css", scheme="https")
    assert (status, headers["x-content-type-options"]) == (404, "nosniff")


def test_the_schema_is_open_in_development_and_else_for_who_may_use_the_api(
    db: None, client: Client, settings: Any
) -> None:
    paths = ("/api/schema/", "/api/docs/")
    settings.FABRA_API_DOCS = None
    assert {client.get(path).status_code for path in paths} == {401}
    settings.DEBUG = True
    assert {client.get(path).status_code for path in paths} == {200}
    settings.FABRA_API_DOCS = False
    assert {client.get(path).status_code for path in paths} == {401}
    client.force_login(User.objects.create_user("ben"))
    assert {client.get(path).status_code for path in paths} == {403}
    ada = User.objects.create_user("ada", is_staff=True)
    client.force_login(ada)
    assert {client.get(path).status_code for path in paths} == {403}  # whoever may open the admin need not use the API
    ada.user_permissions.add(Permission.objects.get(codename="view_document"))
    assert {client.get(path).status_code for path in paths} == {200}
    settings.FABRA_API_DOCS, settings.DEBUG = True, False
    assert {Client().get(path).status_code for path in paths} == {200}
    settings.FABRA_API_DOCS = False
    _, key = ApiKey.make("reader", ["chat"], None)
    assert {Client().get(path, headers={"Authorization": f"Bearer {key}"}).status_code for path in paths} == {200}
