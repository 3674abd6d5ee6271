"""Where the bot's pages are: below another project's path, in each language's, and behind a server's prefix."""

import asyncio
import json
from contextvars import Context, copy_context
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf.urls.i18n import i18n_patterns
from django.core.asgi import get_asgi_application
from django.urls import clear_script_prefix, include, path, set_urlconf
from django.utils.translation import override

from chat import paths
from chat.access.permissions import holds
from chat.paths import own_path
from chat.serving.asgi import with_bot

urlpatterns = i18n_patterns(path("help/", include("chat.urls")))


@pytest.fixture
def in_languages(settings: Any) -> Any:
    settings.ROOT_URLCONF = __name__
    settings.LANGUAGES = [("en", "English"), ("de", "Deutsch")]
    set_urlconf(None)
    paths._roots.cache_clear()
    yield
    paths._roots.cache_clear()


def request_of(where: str, root_path: str = "") -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers and the body of a GET by ASGI."""
    scope = {
        "type": "http", "method": "GET", "path": root_path + where, "root_path": root_path, "query_string": b"",
        "headers": [(b"host", b"testserver")], "client": ("127.0.0.1", 1), "server": ("testserver", 80),
        "scheme": "http", "http_version": "1.1", "asgi": {"version": "3.0"},
    }  # fmt: skip
    sent: list[Any] = []
    received = [{"type": "http.request", "body": b"", "more_body": False}]

    async def serve() -> None:
        async def receive() -> Any:
            return received.pop() if received else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        await with_bot(get_asgi_application())(scope, receive, send)

    try:
        async_to_sync(serve)()
    finally:
        clear_script_prefix()  # which a server's thread keeps until its next request
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize("language", ["en", "de"])
def test_in_each_language_the_same_pages_are_the_bots(language: str, in_languages: None) -> None:
    with override(language):
        assert own_path("/de/help/admin/inbox/") == own_path("/en/help/admin/inbox/") == "/admin/inbox/"
        assert own_path("/fr/help/") == own_path("/help/") == own_path("/de/other/") == ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("root_path", ["", "/site"])
def test_a_prefix_of_the_server_changes_nothing(root_path: str) -> None:
    status, headers, body = request_of("/v1/nothing", root_path)
    assert (status, json.loads(body)["error"]["code"]) == (404, "unknown_url")
    assert headers["cache-control"] == "no-store"
    assert request_of("/mcp", root_path)[0] in (401, 405, 406)


def test_a_user_without_permissions_holds_none() -> None:
    assert not holds(object(), "contexts.view_trace")
    assert not holds(None, "contexts.view_trace")


def test_to_find_the_pages_leaves_nothing_in_the_context_that_each_request_inherits() -> None:
    def left() -> int:
        with override("fi"):  # in which no URL resolver has been used yet
            before = len(copy_context())
            paths._roots.cache_clear()
            paths.roots()
            return len(copy_context()) - before

    assert Context().run(left) == 0
