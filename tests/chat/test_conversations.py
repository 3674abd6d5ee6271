"""A user's conversations over REST: listed, searched, read, renamed, exported, deleted; nobody else's."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import Client

from chat.access.visitors import COOKIE
from chat.models import ApiKey, Conversation, Message
from contexts.declaration import context
from contexts.erasure import sweep_fast_copies
from contexts.items import ContextItem
from contexts.models import ErasedTrace, Trace, TraceBody
from contexts.traces import keep_fast_copy, online_store
from events.event import AxiomEvent
from events.models import Event
from events.outbox import new_event

pytestmark = pytest.mark.django_db

LIST = "/api/conversations/"


def talk(user_id: str = "ana", *texts: str, **fields: Any) -> Conversation:
    conversation = Conversation.objects.create(user_id=user_id, **fields)
    for number, text in enumerate(texts):
        role = Message.Role.ASSISTANT if number % 2 else Message.Role.USER
        Message.objects.create(conversation=conversation, user_id=user_id, role=role, text=text)
    return conversation


def titles(client: Client, **params: Any) -> list[str]:
    return [row["title"] for row in client.get(LIST, {"user_id": "ana"} | params).json()["results"]]


@pytest.fixture
def development(settings: Any) -> None:
    settings.DEBUG = True


@pytest.fixture
def production(settings: Any) -> None:
    settings.DEBUG = False
    settings.FABRA_CHAT_PUBLIC = True


@pytest.mark.usefixtures("development")
class TestList:
    def test_the_latest_comes_first_page_by_page(self, client: Client) -> None:
        for number in range(5):
            talk("ana", "Hello", title=f"C{number}")
        talk("ben", title="Ben's")
        first = client.get(LIST, {"user_id": "ana", "page_size": 3}).json()
        second = client.get(first["next"]).json()
        assert [row["title"] for row in first["results"] + second["results"]] == ["C4", "C3", "C2", "C1", "C0"]
        row = first["results"][0]
        assert (row["state"], row["agent"], row["user_id"]) == ("bot", None, "ana")
        assert row["last_message_id"] == Message.objects.get(conversation=row["id"]).pk

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("REFUND", ["Money", "Refunds"]),
            ("card refund", ["Money"]),
            ("100%", ["Percent"]),
            ("_", []),
            ("über", ["Percent"]),
            ("", ["Percent", "Money", "Refunds"]),
            ("told you", []),
        ],
    )
    def test_it_is_searched_by_titles_and_messages(self, client: Client, text: str, found: list[str]) -> None:
        talk("ana", "When?", "Soon.", title="Refunds")
        notice = talk("ana", "To which card?", "The refund reaches your card.", title="Money")
        Message.objects.create(conversation=notice, user_id="ana", role="notice", text="told you")
        talk("ana", "Is it 100% ÜBERall?", title="Percent")
        talk("ben", "A refund, please", title="Ben's refund")
        assert titles(client, q=text) == found

    def test_odd_values_are_refused(self, client: Client) -> None:
        for params in ({"q": "a\x00"}, {"q": "x" * 201}, {"user_id": "a\u200bb"}, {"page_size": "0"}):
            assert client.get(LIST, {"user_id": "ana"} | params).status_code == 400
        assert client.get(LIST, {"user_id": "ana", "cursor": "cD1hYmM="}).status_code == 400


@pytest.mark.usefixtures("development")
class TestOne:
    def test_it_is_renamed(self, client: Client) -> None:
        address = f"{LIST}{talk('ana').pk}/?user_id=ana"

        def rename(title: Any) -> Any:
            return client.patch(address, {"title": title}, content_type="application/json")

        assert rename("  My \n invoices ").json()["title"] == "My invoices"
        for wrong in ("", " \u200b ", "x" * 201, 5, None, "a\x00"):
            assert rename(wrong).json()["error"]["code"] == "invalid_input", wrong
        unchanged = client.patch(address, {}, content_type="application/json")
        assert (unchanged.status_code, unchanged.json()["title"]) == (200, "My invoices")

    def test_its_messages_are_read_from_any_of_them_on(self, client: Client) -> None:
        conversation = talk("ana", *(f"m{number}" for number in range(7)))
        ids = list(conversation.messages.values_list("pk", flat=True))

        def read(**params: Any) -> tuple[list[str], bool, bool]:
            address = f"{LIST}{conversation.pk}/messages/"
            body = client.get(address, {"user_id": "ana", "page_size": 3, **params}).json()
            return [message["text"] for message in body["messages"]], body["has_earlier"], body["has_later"]

        assert read() == (["m4", "m5", "m6"], True, False)
        assert read(before=ids[4]) == (["m1", "m2", "m3"], True, True)
        assert read(before=ids[1]) == (["m0"], False, True)
        assert read(after=0) == (["m0", "m1", "m2"], False, True)
        assert read(after=ids[3]) == (["m4", "m5", "m6"], True, False)
        assert read(after=ids[6]) == ([], True, False)
        assert read(after=ids[1], before=ids[4]) == (["m2", "m3"], True, True)
        odd: list[dict[str, Any]] = [{"after": "-1"}, {"after": "x"}, {"html": "yes"}, {"before": ""}]
        for wrong in odd:
            address = f"{LIST}{conversation.pk}/messages/"
            assert client.get(address, {"user_id": "ana", **wrong}).status_code == 400

    def test_a_message_has_what_the_page_shows(self, client: Client, bot: None, ask: Any) -> None:
        body = ask().json()
        address = f"{LIST}{body['conversation_id']}/messages/"
        question, answer = client.get(address, {"user_id": "user_123", "html": "true"}).json()["messages"]
        assert (question["role"], question["html"], question["context_id"]) == ("user", "", body["context_id"])
        assert (answer["id"], answer["text"]) == (body["message_id"], body["response"])
        assert "<strong>Forgot password?</strong>" in answer["html"]
        assert answer["citations"][0]["html"]
        plain = client.get(address, {"user_id": "user_123"}).json()["messages"][1]
        assert "html" not in plain and "html" not in plain["citations"][0]

    def test_a_person_has_a_name(self, client: Client) -> None:
        agent = User.objects.create_user("m.login", first_name="Mia", last_name="Moll")
        conversation = talk("ana", agent=agent, state="person")
        Message.objects.create(conversation=conversation, user_id="ana", role="agent", author=agent, text="*Hi*")
        body = client.get(f"{LIST}{conversation.pk}/messages/?user_id=ana&html=1").json()["messages"][0]
        assert (body["author"], body["html"]) == ("Mia Moll", "<p><em>Hi</em></p>\n")
        assert client.get(f"{LIST}{conversation.pk}/?user_id=ana").json()["agent"] == "Mia Moll"


@pytest.mark.usefixtures("development")
class TestExport:
    @pytest.fixture
    def conversation(self) -> Conversation:
        conversation = talk("ana", "# Not a heading\n1 < 2?", title="Is *this* [safe]?")
        Message.objects.create(
            conversation=conversation, user_id="ana", role="assistant", text="Yes [2].", citations=[
                {"number": 1, "document_id": "a", "title": "A", "url": "", "is_cited": False, "quote": "a"},
                {"number": 2, "document_id": "b", "title": "B [x]", "url": "https://x.example/>b c", "is_cited": True,
                 "quote": "b"},
            ],
        )  # fmt: skip
        Message.objects.create(conversation=conversation, user_id="ana", role="notice", text="Mia is *here*.")
        return conversation

    def read(self, client: Client, conversation: Conversation, **params: str) -> tuple[Any, str]:
        response = client.get(f"{LIST}{conversation.pk}/export/", {"user_id": "ana"} | params)
        assert response.status_code == 200

        async def whole() -> bytes:
            return b"".join([piece async for piece in response])

        return response, async_to_sync(whole)().decode()

    def test_as_json_it_is_all_there(self, client: Client, conversation: Conversation) -> None:
        response, text = self.read(client, conversation)
        assert response.headers["Content-Type"] == "application/json"
        assert f'filename="conversation-{conversation.pk}.json"' in response.headers["Content-Disposition"]
        body = json.loads(text)
        assert (body["id"], body["title"]) == (conversation.pk, "Is *this* [safe]?")
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "notice"]

    def test_as_markdown_it_is_read(self, client: Client, conversation: Conversation) -> None:
        response, text = self.read(client, conversation, **{"as": "markdown"})
        assert response.headers["Content-Type"] == "text/markdown; charset=utf-8"
        assert text.startswith("# Is \\*this\\* \\[safe\\]?\n")
        assert "> # Not a heading\n> 1 < 2?" in text
        assert "- \\[2\\] [B \\[x\\]](<https://x.example/%3Eb%20c>)" in text
        assert "\\[1\\]" not in text
        assert "*Mia is \\*here\\*.*" in text

    def test_a_long_one_is_whole_and_an_empty_one_is_valid(self, client: Client) -> None:
        long, empty = talk("ana", *(f"m{number}" for number in range(250))), talk("ana")
        texts = [message["text"] for message in json.loads(self.read(client, long)[1])["messages"]]
        assert texts == [f"m{number}" for number in range(250)]
        assert json.loads(self.read(client, empty)[1])["messages"] == []
        assert client.get(f"{LIST}{empty.pk}/export/?user_id=ana&as=pdf").status_code == 400


@pytest.mark.usefixtures("development")
class TestDeletion:
    def delete(self, client: Client, conversation: Any, user_id: str = "user_123") -> Any:
        return client.delete(f"{LIST}{conversation}/?user_id={user_id}")

    def test_everything_that_belongs_to_it_is_gone(self, client: Client, bot: None, ask: Any) -> None:
        kept, body = ask("What of invoices?").json(), ask("My secret is in here").json()
        other = ask("My secret is in here", user_id="user_456").json()
        payload = {"conversation_id": body["conversation_id"], "reason": "secret"}
        event = new_event(
            AxiomEvent(event_type="conversation_escalated", entity_id="user_123", payload=payload), Event.Source.CHAT
        )
        event.save()
        inner = Trace.objects.create(
            context="inner", user_id="user_123", query="My secret is in here", max_tokens=1, tokens=1, kept=0,
            dropped=0, duration_ms=1.0,
        )  # fmt: skip
        async_to_sync(keep_fast_copy)(body["context_id"], "x", "{}")

        assert self.delete(client, body["conversation_id"]).status_code == 204
        assert not Conversation.objects.filter(pk=body["conversation_id"]).exists()
        assert not Message.objects.filter(conversation=body["conversation_id"]).exists()
        assert not Trace.objects.filter(pk__in=[body["context_id"], inner.pk]).exists()
        assert not TraceBody.objects.filter(text__contains="secret", trace__user_id="user_123").exists()
        assert async_to_sync(online_store.get)(f"trace:{body['context_id']}") is None
        event.refresh_from_db()
        assert "secret" not in json.dumps(event.payload)
        assert Trace.objects.filter(pk__in=[kept["context_id"], other["context_id"]]).count() == 2
        assert self.delete(client, body["conversation_id"]).status_code == 404

    def test_a_question_asked_twice_keeps_the_trace_of_the_other_conversation(
        self, client: Client, bot: None, ask: Any
    ) -> None:
        first, second = ask("Twice?").json(), ask("Twice?").json()
        assert first["conversation_id"] != second["conversation_id"]
        assert self.delete(client, first["conversation_id"]).status_code == 204
        assert [str(trace.pk) for trace in Trace.objects.all()] == [second["context_id"]]

    def test_without_redis_the_copies_go_later(
        self, client: Client, bot: None, ask: Any, request: pytest.FixtureRequest
    ) -> None:
        body = ask().json()
        async_to_sync(keep_fast_copy)(body["context_id"], "x", "{}")
        redis_url = request.getfixturevalue("settings").REDIS_URL
        request.getfixturevalue("redis_down")
        response = self.delete(client, body["conversation_id"])
        assert (response.status_code, len(response.json()["left"])) == (202, 1)
        assert not Trace.objects.exists()

        from common import redis

        request.getfixturevalue("settings").REDIS_URL = redis_url
        redis.plain_redis.cache_clear()
        assert async_to_sync(online_store.get)(f"trace:{body['context_id']}") is not None
        assert sweep_fast_copies() == 0  # a copy may still be on its way
        ErasedTrace.objects.update(erased_at="2026-01-01T00:00:00Z")
        assert sweep_fast_copies() == 1
        assert async_to_sync(online_store.get)(f"trace:{body['context_id']}") is None
        assert not ErasedTrace.objects.exists()


class TestWhose:
    """Somebody else's conversation is not there, whatever one does with it."""

    def assert_hidden(self, client: Client, pk: int, query: str = "", **headers: str) -> None:
        json_type = {"content_type": "application/json"}
        address = f"{LIST}{pk}/"
        for status in (
            client.get(f"{address}{query}", headers=headers),
            client.patch(f"{address}{query}", {"title": "Mine"}, headers=headers, **json_type),
            client.delete(f"{address}{query}", headers=headers),
            client.get(f"{address}messages/{query}", headers=headers),
            client.get(f"{address}export/{query}", headers=headers),
            client.post(f"/chat/{pk}/stop{query}", headers=headers),
        ):
            assert (status.status_code, status.json()["error"]["code"]) == (404, "not_found")
        assert Conversation.objects.get(pk=pk).title == "Ana's"

    def test_a_session_has_its_own(self, client: Client, production: None) -> None:
        client.force_login(User.objects.create_user("ben"))
        own, other = talk("ben", title="Ben's"), talk("ana", title="Ana's")
        assert [row["title"] for row in client.get(LIST).json()["results"]] == ["Ben's"]
        assert client.get(f"{LIST}{own.pk}/").status_code == 200
        self.assert_hidden(client, other.pk)
        assert client.get(f"{LIST}?user_id=ana").status_code == 403
        assert client.get(f"{LIST}{other.pk}/?user_id=ana").status_code == 403

    def test_a_visitor_has_their_own(self, client: Client, production: None) -> None:
        assert client.get(LIST).status_code == 400  # no id yet
        client.get("/")
        visitor = client.cookies[COOKIE].value.split(":")[0]
        own, other = talk(f"visitor:{visitor}", title="Mine"), talk("ana", title="Ana's")
        assert [row["title"] for row in client.get(LIST).json()["results"]] == ["Mine"]
        self.assert_hidden(client, other.pk)
        client.cookies[COOKIE] = client.cookies[COOKIE].value.replace(visitor, "x" * len(visitor))
        assert client.get(f"{LIST}{own.pk}/").status_code in (400, 404)

    def test_a_key_names_the_user(self, client: Client, production: None) -> None:
        key = {"authorization": f"Bearer {ApiKey.make('shop', ['chat'], None, users=['ben', 'ana'])[1]}"}
        own, other = talk("ben", title="Ben's"), talk("ana", title="Ana's")
        assert client.get(LIST, headers=key).status_code == 400
        assert client.get(f"{LIST}{own.pk}/?user_id=ben", headers=key).status_code == 200
        self.assert_hidden(client, other.pk, "?user_id=ben", **key)
        assert client.get(f"{LIST}?user_id=eve", headers=key).json()["error"]["code"] == "user_forbidden"
        ingest = {"authorization": f"Bearer {ApiKey.make('cms', ['ingest'], None)[1]}"}
        assert client.get(f"{LIST}?user_id=ben", headers=ingest).status_code == 403

    def test_without_signing_in_nothing_is_shown(self, client: Client, settings: Any) -> None:
        settings.DEBUG = settings.FABRA_CHAT_PUBLIC = False
        assert client.get(LIST).status_code == 401
        assert client.get(f"{LIST}{talk('ana').pk}/?user_id=ana").status_code == 401

    @pytest.mark.parametrize("is_signed_in", [True, False])
    def test_a_change_needs_the_token_of_the_page(self, production: None, is_signed_in: bool) -> None:
        browser = Client(enforce_csrf_checks=True)
        if is_signed_in:
            browser.force_login(User.objects.create_user("ben"))
            conversation = talk("ben", title="Before")
        page = browser.get("/")
        if not is_signed_in:
            conversation = talk(f"visitor:{browser.cookies[COOKIE].value.split(':')[0]}", title="Before")
        address = f"{LIST}{conversation.pk}/"
        refused = browser.patch(address, {"title": "After"}, content_type="application/json")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")
        token = {"X-CSRFToken": str(page.context["csrf_token"])}
        renamed = browser.patch(address, {"title": "After"}, content_type="application/json", headers=token)
        assert renamed.status_code == 200
        assert browser.delete(address).status_code == 403
        assert browser.delete(address, headers=token).status_code == 204


class TestTrace:
    def test_it_tells_what_the_model_saw(self, client: Client, bot: None, ask: Any) -> None:
        context_id = ask().json()["context_id"]
        body = client.get(f"/api/traces/{context_id}/").json()
        assert (body["query"], body["searches"][0]["query"]) == ("How do I reset my password?",) * 2
        assert sum(item["tokens"] for item in body["items"] if item["kept"]) <= body["tokens"] <= body["max_tokens"]
        assert "Reset your password" in [item["title"] for item in body["items"]]
        assert client.get(f"/api/traces/{uuid.uuid4()}/").status_code == 404

    def test_it_tells_with_which_earlier_questions_a_follow_up_was_ranked(
        self, client: Client, bot: None, ask: Any
    ) -> None:
        first = ask().json()
        second = ask("And how long is it valid?", conversation_id=first["conversation_id"]).json()
        searches = [client.get(f"/api/traces/{body['context_id']}/").json()["searches"][0] for body in (first, second)]
        assert [search["history"] for search in searches] == [[], ["How do I reset my password?"]]
        assert [search["rewritten"] for search in searches] == [None, None]

    def test_an_item_tells_as_a_code_why_it_was_dropped(
        self, client: Client, bot: None, ask: Any, use_context: Callable[[Any], None]
    ) -> None:
        @context(name="small", max_tokens=20)
        async def small(user_id: str, query: str) -> list[ContextItem]:
            return [ContextItem(content=words, priority=9) for words in ("Short. " * 5, "Short. " * 5, "Long. " * 30)]

        use_context(small)
        items = client.get(f"/api/traces/{ask().json()['context_id']}/").json()["items"]
        assert [item["dropped_as"] for item in items] == [None, "over_budget", "too_large"]

    def test_only_those_see_it_who_may_see_traces(self, client: Client, bot: None, ask: Any, settings: Any) -> None:
        context_id = ask().json()["context_id"]
        settings.DEBUG = False
        address = f"/api/traces/{context_id}/"
        assert client.get(address).status_code == 401
        client.force_login(User.objects.create_user("ben"))
        assert client.get(address).status_code == 403
        client.logout()

        def with_key(scope: str, **bound: Any) -> int:
            key = ApiKey.make(str(uuid.uuid4()), [scope], None, **bound)[1]
            return client.get(address, headers={"authorization": f"Bearer {key}"}).status_code

        assert with_key("debug") == 200
        assert with_key("chat") == 403
        assert with_key("debug", users=["user_456"]) == 403
        assert with_key("debug", indexes=["other"]) == 403
