"""Every error below /v1/ has OpenAI's shape, whatever part of the server it comes from."""

import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission
from django.test import Client, RequestFactory
from django.urls import resolve

from chat.models import ApiKey
from chat.serving import error_pages
from chat.serving.request_limits import with_limits
from tests.chat.openai_api.conftest import QUESTION, error_of, messages
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db

BODY = {"model": "default", "user": "ana", "messages": messages(QUESTION)}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(("method", "path"), [("get", "/v1/models"), ("post", "/v1/chat/completions")])
def test_keys_are_checked(bot: None, client: Client, settings: Any, method: str, path: str) -> None:
    settings.DEBUG = False

    def call(key: str = "") -> Any:
        body = {"data": json.dumps(BODY), "content_type": "application/json"} if method == "post" else {}
        return getattr(client, method)(path, headers=bearer(key) if key else {}, **body)

    none, unknown = call(), call("fabra_sec_unknown")
    assert error_of(none) == (401, "not_authenticated", None)
    assert error_of(unknown) == error_of(call("sk-of-another-server")) == (401, "invalid_api_key", None)
    assert none.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    assert none.json()["error"]["type"] == "authentication_error"
    assert error_of(call(ApiKey.make("cms", ["ingest"])[1])) == (403, "scope_missing", None)
    assert error_of(call(ApiKey.make("site", ["chat"], kind="public")[1])) == (403, "secret_key_needed", None)
    elsewhere = ApiKey.make("elsewhere", ["chat"], networks=["192.0.2.0/24"])[1]
    assert error_of(call(elsewhere)) == (403, "address_forbidden", None)
    assert call(ApiKey.make("server", ["chat"])[1]).status_code == 200


def test_any_word_is_a_key_where_none_is_needed(bot: None, client: Client, complete: Any) -> None:
    assert complete(headers=bearer("none")).status_code == 200
    assert error_of(complete(headers=bearer("fabra_sec_unknown"))) == (401, "invalid_api_key", None)
    elsewhere = client.get("/v1/models", headers=bearer("none"), REMOTE_ADDR="192.0.2.1")
    assert error_of(elsewhere) == (401, "invalid_api_key", None)


@pytest.mark.parametrize("is_debug", [True, False])
def test_what_is_not_there_is_not_found(bot: None, client: Client, settings: Any, is_debug: bool) -> None:
    settings.DEBUG = is_debug
    settings.CSRF_TRUSTED_ORIGINS = []
    strict = Client(enforce_csrf_checks=True)
    for path in ("/v1", "/v1/", "/v1/embeddings", "/v1/chat/completions/", "/v1/models/", "/v1/chat/%ff"):
        for method in (client.get, strict.post, client.delete):
            assert error_of(method(path)) == (404, "unknown_url", None), path


def test_a_method_and_a_media_type_that_there_are_not(bot: None, client: Client) -> None:
    assert error_of(client.put("/v1/models")) == (405, "method_not_allowed", None)
    assert error_of(client.get("/v1/chat/completions")) == (405, "method_not_allowed", None)
    assert error_of(client.post("/v1/chat/completions", BODY)) == (415, "unsupported_media_type", None)


@pytest.mark.parametrize("body", ["", "{", "[]", "[" * 50_000, '{"model": NaN}', b"\xff"])
def test_a_body_that_is_no_object_of_json(bot: None, client: Client, body: Any) -> None:
    response = client.post("/v1/chat/completions", body, content_type="application/json")
    status, code, _ = error_of(response)
    assert (status, code) == ((400, "missing_required_parameter") if body == "" else (400, "invalid_json"))


def test_a_limit_tells_when_to_come_back(bot: None, complete: Any, settings: Any) -> None:
    settings.FABRA_RATE_LIMIT_DEFAULT = 1
    assert complete().headers["X-RateLimit-Remaining"] == "0"
    limited = complete()
    assert error_of(limited) == (429, "rate_limit_exceeded", None)
    assert limited.json()["error"]["type"] == "rate_limit_error"
    assert 3000 < int(limited.headers["Retry-After"]) <= 3600
    assert limited.headers["X-RateLimit-Limit"] == "1"
    assert limited.headers["X-Should-Retry"] == "false"  # no SDK should wait an hour


@pytest.mark.parametrize(
    ("behaviour", "expected"), [("500", (502, "model_failed")), ("401", (502, "model_refused")),
                                ("hang", (504, "model_timeout"))]
)  # fmt: skip
def test_a_model_that_fails(
    bot: None, complete: Any, model: ModelServer, settings: Any, behaviour: str, expected: tuple[int, str]
) -> None:
    settings.FABRA_MODEL_RETRIES = 0
    patience_s = settings.FABRA_MODEL_TIMEOUT_S
    if behaviour == "hang":
        settings.FABRA_MODEL_TIMEOUT_S = 0.2
    model.behaviour = behaviour
    failed = complete()
    assert error_of(failed)[:2] == expected
    assert failed.json()["error"]["type"] == "server_error"
    assert "secret detail" not in failed.content.decode()
    model.behaviour, settings.FABRA_MODEL_TIMEOUT_S = "answer", patience_s
    assert complete().headers["X-RateLimit-Remaining"] == "19"  # what failed was not counted


def test_pages_of_errors_have_the_shape_below_v1_only() -> None:
    error = Exception("secret")
    for path, has_type in (("/v1/models", True), ("/api/documents/", False)):
        request = RequestFactory().get(path)
        pages = error_pages.bad_request(request, error), error_pages.not_found(request, error)
        for page in (*pages, error_pages.server_error(request)):
            assert ("type" in json.loads(page.content)["error"]) is has_type


def status_of(path: str, client: Client | None = None) -> int:
    """Return what a POST with a body of eleven bytes is answered in front of Django, or 200 if it comes through."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    headers = [(b"content-length", b"11")]
    if client is not None:
        headers.append((b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode()))
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    async_to_sync(with_limits(application))(scope, receive, send)
    if sent[0]["status"] == 413:
        assert ("type" in json.loads(sent[1]["body"])["error"]) is path.startswith("/v1/")
    return int(sent[0]["status"])


def test_a_body_that_is_too_large_is_refused_in_front(settings: Any) -> None:
    settings.FABRA_MAX_REQUEST_BYTES = 10
    assert status_of("/v1/chat/completions") == 413


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("/admin/retrieval/ingestionrun/upload/", ["add_ingestionrun"]),
        ("/admin/retrieval/goldenquestion/import", ["add_goldenquestion", "change_goldenquestion"]),
    ],
)
def test_a_larger_body_is_only_for_who_may_upload_and_where(
    path: str, needed: list[str], settings: Any, client: Client, django_user_model: Any
) -> None:
    settings.FABRA_MAX_REQUEST_BYTES, settings.SESSION_COOKIE_NAME = 10, "sessionid"
    assert resolve(path.rstrip("/") if path.endswith("import") else path)
    user = django_user_model.objects.create_user("ann", is_staff=True)
    client.force_login(user)
    assert status_of(path, client) == 413
    user.user_permissions.set(Permission.objects.filter(codename__in=needed))
    assert status_of(path, client) == 200
    assert status_of("/admin/login/", client) == status_of("/admin/retrieval/document/add/", client) == 413
    assert status_of(path) == 413
    django_user_model.objects.filter(pk=user.pk).update(is_staff=False)
    assert status_of(path, client) == 413
