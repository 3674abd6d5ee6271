"""A request with an Idempotency-Key has its effect once, however often and whenever it is sent."""

import asyncio
import json
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.db.models import F
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.conversations.management import delete_conversation
from chat.engine.beginning import begin
from chat.idempotency.records import RequestClaim, renewal, take
from chat.idempotency.request_key import RequestKey
from chat.models import ApiKey, Conversation, IdempotentRequest, Message
from chat.retention import IDEMPOTENT
from chat.turns.turn import Question
from common.background import finish_spawned
from common.retention import prune_kind
from contexts.models import Trace
from events.models import Event
from retrieval.generations.verification import repair, verify
from retrieval.indexing.documents import index_document
from retrieval.indexing.purge import continue_purges, purge_document
from retrieval.models import DocumentVersion, Index
from tests.model_server import ModelServer
from tests.processes import wait_until

EVENT = {"event_type": "poked", "entity_id": "ana", "payload": {"secret": "sesame"}}
CHAT = {"user_id": "ana", "message": "What does it cost?"}


@pytest.fixture
def post(settings: Any, client: Client) -> Any:
    """Return a function that sends a request with a key."""
    settings.DEBUG = True

    def post(path: str, body: Any, key: str | None = "k-1", **headers: str) -> Any:
        more = headers | ({} if key is None else {"Idempotency-Key": key})
        return client.post(path, json.dumps(body), content_type="application/json", headers=more)

    return post


def code_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def is_replay(response: Any) -> bool:
    return response.headers.get("Idempotent-Replayed") == "true"


def row() -> IdempotentRequest:
    return IdempotentRequest.objects.get()


@pytest.mark.django_db
class TestEvents:
    def test_it_is_written_once_and_answered_alike(self, post: Any) -> None:
        first, second = post("/api/events/", EVENT), post("/api/events/", EVENT)
        assert (first.status_code, is_replay(first)) == (202, False)
        assert (second.status_code, second.json(), is_replay(second)) == (202, first.json(), True)
        assert Event.objects.count() == 1
        # Another key is another request, and none is none.
        ids = {post("/api/events/", EVENT, key).json()["id"] for key in ("k-1", "k-2", None, None)}
        assert len(ids) == 4

    def test_what_it_says_is_not_stored_a_second_time(self, post: Any) -> None:
        assert post("/api/events/", EVENT, "my-secret-key").json()["payload"] == EVENT["payload"]
        stored = str(IdempotentRequest.objects.values().get())
        assert "sesame" not in stored and "my-secret-key" not in stored

    def test_a_batch_too(self, post: Any) -> None:
        first, second = (post("/api/events/", {"events": [EVENT, EVENT]}) for _ in range(2))
        assert (second.json(), is_replay(second)) == (first.json(), True)
        assert Event.objects.count() == 2

    def test_another_request_with_the_key_is_refused(self, post: Any) -> None:
        post("/api/events/", EVENT)
        for path, body in [("/api/events/", EVENT | {"payload": {}}), ("/api/events/?x=1", EVENT), ("/chat", CHAT)]:
            assert code_of(post(path, body)) == (422, "idempotency_key_reused")
        assert Event.objects.count() == 1

    def test_a_key_is_of_its_caller_only(self, post: Any, settings: Any) -> None:
        keys = [ApiKey.make(name, ["ingest"])[1] for name in ("one", "two")]
        answers = [post("/api/events/", EVENT, Authorization=f"Bearer {key}") for key in keys]
        assert [is_replay(answer) for answer in answers] == [False, False]
        assert answers[0].json()["id"] != answers[1].json()["id"]
        settings.DEBUG = False
        assert post("/api/events/", EVENT).status_code == 401

    def test_a_key_has_a_form(self, post: Any) -> None:
        for key in ["", " ", "x" * 256, "a b", '"a', "a,b", '""', "ü", '"a", "b"', '"a\tb"']:
            assert code_of(post("/api/events/", EVENT, key)) == (400, "idempotency_key_invalid"), key
        assert Event.objects.count() == 0

    def test_a_quoted_key_is_the_same_as_a_bare_one(self, post: Any) -> None:
        name = str(uuid.uuid4())
        assert is_replay(post("/api/events/", EVENT, name)) is False
        assert is_replay(post("/api/events/", EVENT, f'"{name}"')) is True
        assert post("/api/events/", EVENT, '"a \\"b\\""').status_code == 202

    def test_what_is_wrong_with_the_request_is_told_again(self, post: Any) -> None:
        first, second = (post("/api/events/", {"event_type": "poked"}) for _ in range(2))
        assert (first.status_code, second.status_code, second.json()) == (400, 400, first.json())
        assert is_replay(second)

    def test_a_limit_is_not_remembered(self, post: Any, settings: Any) -> None:
        settings.FABRA_RATE_LIMIT_DEFAULT = 0
        assert post("/chat", CHAT).status_code == 429
        assert not IdempotentRequest.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_event_and_its_answer_are_one_transaction(post: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE chat_idempotentrequest ADD CONSTRAINT no CHECK (status IS NULL) NOT VALID")
    try:
        assert post("/api/events/", EVENT).status_code >= 500
        assert Event.objects.count() == 0
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE chat_idempotentrequest DROP CONSTRAINT no")
    assert post("/api/events/", EVENT).status_code == 202


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_runs(settings: Any) -> None:
    settings.DEBUG = True
    answers: list[Any] = []

    def send() -> None:
        headers = {"Idempotency-Key": "k"}
        answers.append(Client().post("/api/events/", EVENT, content_type="application/json", headers=headers))
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sorted(map(is_replay, answers)) == [False] + [True] * 5
    assert Event.objects.count() == 1


@pytest.mark.django_db
def test_a_document_is_indexed_once(post: Any, embedder: Any) -> None:
    body = {"index_name": "docs", "entity_id": "a", "text": "Penguins."}
    first = post("/api/documents/", body)
    assert post("/api/documents/", body | {"text": "Bears."}, "k-2").status_code == 201
    # The late repetition does not put the older text back.
    again = post("/api/documents/", body)
    assert (again.status_code, again.json(), is_replay(again)) == (201, first.json(), True)
    assert DocumentVersion.objects.count() == 2


DOCUMENT = {"index_name": "docs", "entity_id": "a", "text": "Penguins."}


@contextmanager
def dying_as_it_stores_its_answer() -> Iterator[None]:
    """End the request's work where it stores its answer, as a process does that is killed; its lease ends."""

    def die(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith('UPDATE "chat_idempotentrequest"'):
            raise SystemExit
        return execute(sql, *args)

    with connection.execute_wrapper(die), pytest.raises(SystemExit):
        yield
    IdempotentRequest.objects.update(leased_until=timezone.now() - timedelta(seconds=1))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("headers", [{}, {"If-None-Match": "*"}])
def test_a_document_whose_process_dies_before_its_answer_is_stored_is_written_by_the_next(
    post: Any, embedder: Any, headers: dict[str, str]
) -> None:
    with dying_as_it_stores_its_answer():
        post("/api/documents/", DOCUMENT, **headers)
    assert not DocumentVersion.objects.exists()
    again = post("/api/documents/", DOCUMENT, **headers)
    assert (again.status_code, is_replay(again)) == (201, False)
    repeated = post("/api/documents/", DOCUMENT, **headers)
    assert (repeated.status_code, repeated.json(), is_replay(repeated)) == (201, again.json(), True)
    assert repeated.headers["ETag"] == again.headers["ETag"] == '"v1"'


@pytest.mark.django_db(transaction=True)
def test_a_document_whose_process_dies_after_it_was_written_is_not_put_back_over_a_later_one(
    post: Any, embedder: Any
) -> None:
    def die_after_the_commit(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith('UPDATE "chat_idempotentrequest"'):
            transaction.on_commit(sys.exit)
        return execute(sql, *args)

    with connection.execute_wrapper(die_after_the_commit), pytest.raises(SystemExit):
        post("/api/documents/", DOCUMENT)
    index_document("docs", "a", "Bears.")
    again = post("/api/documents/", DOCUMENT)
    assert (again.status_code, is_replay(again)) == (201, True)
    assert list(DocumentVersion.objects.order_by("pk").values_list("text", flat=True)) == ["Penguins.", "Bears."]


@pytest.mark.django_db(transaction=True)
def test_a_request_that_lost_its_lease_writes_nothing(post: Any, embedder: Any) -> None:
    def take_over(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith('UPDATE "chat_idempotentrequest"'):
            execute("UPDATE chat_idempotentrequest SET token = gen_random_uuid()", [], False, args[2])
        return execute(sql, *args)

    with connection.execute_wrapper(take_over):
        assert code_of(post("/api/documents/", DOCUMENT)) == (409, "idempotency_in_progress")
        assert code_of(post("/api/events/", EVENT, "k-2")) == (409, "idempotency_in_progress")
    assert not DocumentVersion.objects.exists() and not Event.objects.exists()


@pytest.mark.django_db
def test_what_an_operator_may_change_is_not_kept(post: Any, settings: Any) -> None:
    completion = {"model": "none", "messages": [{"role": "user", "content": "Hi?"}]}
    assert code_of(post("/chat", CHAT | {"bot": "none"})) == (404, "bot_not_found")
    assert code_of(post("/v1/chat/completions", completion)) == (404, "model_not_found")
    assert not IdempotentRequest.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestChat:
    def test_a_message_is_answered_and_counted_once(self, small: ModelServer, post: Any) -> None:
        first = post("/chat", CHAT)
        with CaptureQueriesContext(connection) as queries:
            second = post("/chat", CHAT)
        assert (second.status_code, second.content, is_replay(second)) == (200, first.content, True)
        assert len(queries) == 1
        assert len(small.requests) == 1
        assert post("/chat", CHAT, "k-2").headers["X-RateLimit-Remaining"] == "18"
        assert Message.objects.filter(role="user").count() == 2

    def test_a_stream_is_told_again_as_its_start_and_its_end(self, small: ModelServer, post: Any) -> None:
        body = CHAT | {"stream": True}
        first = b"".join(async_to_sync(pieces)(post("/chat", body)))
        again = post("/chat", body)
        assert again.headers["Content-Type"] == "text/event-stream"
        blocks = first.split(b"\n\n")
        assert again.content.split(b"\n\n") == [blocks[0], *blocks[-2:]]
        assert first.count(b"event: delta") > 1
        assert len(small.requests) == 1

    def test_a_failure_is_not_remembered(self, small: ModelServer, post: Any) -> None:
        small.behaviour = "500"
        assert post("/chat", CHAT).status_code == 502
        small.behaviour = "answer"
        answered = post("/chat", CHAT)
        assert (answered.status_code, is_replay(answered)) == (200, False)
        assert answered.headers["X-RateLimit-Remaining"] == "19"
        assert Message.objects.filter(role="user").count() == 1

    def test_a_stream_that_fails_is_not_remembered(self, small: ModelServer, post: Any) -> None:
        body = CHAT | {"stream": True}
        small.behaviour = "break"
        assert b"event: error" in b"".join(async_to_sync(pieces)(post("/chat", body)))
        wait_until(lambda: not IdempotentRequest.objects.exists())
        small.behaviour = "answer"
        assert b"event: done" in b"".join(async_to_sync(pieces)(post("/chat", body)))

    @pytest.mark.parametrize("path", ["/chat", "/v1/chat/completions"])
    def test_a_stream_that_nobody_reads_ends_its_turn_and_leaves_the_request_to_the_next(
        self, small: ModelServer, settings: Any, path: str
    ) -> None:
        completion = {"model": "chosen_context", "messages": [{"role": "user", "content": "Hi?"}], "user": "ana"}
        body = (CHAT if path == "/chat" else completion) | {"stream": True}

        async def leave() -> None:
            headers = {"Idempotency-Key": "k-1"}
            response: Any = await AsyncClient().post(path, body, content_type="application/json", headers=headers)
            assert response.status_code == 200
            await asyncio.to_thread(response.close)
            for _ in range(6000):
                if not await IdempotentRequest.objects.aexists() and (await Trace.objects.aget()).state == "failed":
                    return
                await asyncio.sleep(0.01)

        async_to_sync(leave)()
        assert (Trace.objects.get().error_code, small.requests) == ("client_disconnected", [])
        assert not IdempotentRequest.objects.exists()
        assert Conversation.objects.get().queue == []

    def test_the_second_of_two_at_once_waits_for_the_answer(self, small: ModelServer) -> None:
        small.delay_s = 0.5
        first, second = async_to_sync(both)(CHAT)
        assert (first.status_code, second.status_code) == (200, 200)
        assert first.content == second.content
        assert sorted([is_replay(first), is_replay(second)]) == [False, True]
        assert len(small.requests) == 1

    def test_the_second_runs_if_the_first_fails(self, small: ModelServer, settings: Any) -> None:
        small.behaviour, settings.FABRA_MODEL_TIMEOUT_S = "hang", 1.0
        assert {answer.status_code for answer in async_to_sync(both)(CHAT)} == {504}
        assert len(small.requests) == 2
        assert Message.objects.filter(role="user").count() == 1

    def test_the_wait_has_an_end(self, small: ModelServer, post: Any, settings: Any) -> None:
        settings.FABRA_IDEMPOTENCY_WAIT_S = 0.1
        post("/chat", CHAT)
        IdempotentRequest.objects.update(status=None, leased_until=timezone.now() + timedelta(minutes=1))
        refused = post("/chat", CHAT)
        assert code_of(refused) == (409, "idempotency_in_progress")
        assert int(refused.headers["Retry-After"]) > 0

    @pytest.mark.parametrize("is_answered", [False, True])
    def test_a_process_that_dies_leaves_the_request_to_the_next(
        self, small: ModelServer, post: Any, settings: Any, is_answered: bool
    ) -> None:
        """The message is stored and counted, and its answer may be; the row has the lease of a process that is gone."""
        settings.FABRA_CONVERSATION_LEASE_S = 0.5
        post("/chat", CHAT)
        if is_answered:
            IdempotentRequest.objects.update(status=None, leased_until=timezone.now())
        else:
            key = RequestKey(digest=row().digest, fingerprint=row().fingerprint)
            IdempotentRequest.objects.all().delete()
            Conversation.objects.all().delete()
            small.requests.clear()
            assert isinstance(take(key), RequestClaim)
            name = key.request_id
            async_to_sync(begun)(Question(user_id="ana", message=CHAT["message"], client_id=name, count_token=name.hex))
        answered = post("/chat", CHAT)
        assert (answered.status_code, answered.json()["response"]) == (200, small.text)
        assert len(small.requests) == 1
        assert list(Message.objects.order_by("pk").values_list("role", flat=True)) == ["user", "assistant"]
        assert is_replay(post("/chat", CHAT))
        assert post("/chat", CHAT, "k-2").headers["X-RateLimit-Remaining"] == "18"

    def test_it_goes_with_its_conversation(self, small: ModelServer, post: Any) -> None:
        post("/chat", CHAT)
        post("/chat", CHAT | {"user_id": "ben"}, "k-2")
        delete_conversation(Conversation.objects.get(user_id="ana"))
        assert Conversation.objects.get(pk=row().conversation_id or 0).user_id == "ben"


@pytest.mark.django_db(transaction=True)
def test_a_claim_is_not_renewed_for_ever(settings: Any) -> None:
    settings.FABRA_CONVERSATION_LEASE_S = 0.3
    key = RequestKey(digest="d", fingerprint="f")
    claim = take(key)
    assert isinstance(claim, RequestClaim)
    renewal.add(claim, most_s=0.5)  # and nobody discards it
    wait_until(lambda: isinstance(take(key), RequestClaim))


@pytest.mark.django_db(transaction=True)
def test_a_lease_is_renewed_while_its_request_runs(settings: Any) -> None:
    settings.FABRA_CONVERSATION_LEASE_S = 9.0  # which no pause of the machine ends
    key = RequestKey(digest="d" * 64, fingerprint="f" * 64)
    claim = take(key)
    assert isinstance(claim, RequestClaim)
    ends = row().leased_until
    renewal.add(claim)
    wait_until(lambda: row().leased_until > ends)
    assert take(key) is None
    renewal.discard(claim)
    IdempotentRequest.objects.update(leased_until=F("leased_until") - timedelta(seconds=9))  # as after that time
    assert isinstance(wait_until(lambda: take(key)), RequestClaim)


@pytest.mark.django_db
def test_requests_are_forgotten_after_a_while(post: Any, settings: Any) -> None:
    for number in range(5):
        post("/api/events/", EVENT, f"k-{number}")
    IdempotentRequest.objects.exclude(digest=IdempotentRequest.objects.latest("created_at").digest).update(
        created_at=F("created_at") - timedelta(days=2)
    )
    assert prune_kind(IDEMPOTENT) == (4, True)
    assert is_replay(post("/api/events/", EVENT, "k-4"))


async def pieces(response: Any) -> list[bytes]:
    found = [piece async for piece in response.streaming_content]
    await finish_spawned()
    return found


async def both(body: dict[str, Any]) -> list[Any]:
    client = AsyncClient()
    headers = {"Idempotency-Key": "k"}
    sent = [client.post("/chat", body, content_type="application/json", headers=headers) for _ in range(2)]
    answers = await asyncio.gather(*sent)
    await finish_spawned()
    return answers


async def begun(question: Question) -> None:
    await begin(question)
    await finish_spawned()


@pytest.mark.django_db(transaction=True)
class TestPurges:
    def test_a_kept_answer_that_quotes_a_purged_document_is_erased(
        self, post: Any, embedder: Any, model: ModelServer, settings: Any
    ) -> None:
        index_document("knowledge_base", "reset", "# Reset\n\nClick **Forgot password?** on the sign-in page.")
        question = {"user_id": "ana", "message": "How do I reset my password?"}
        completion = {"model": "default", "user": "ana", "messages": [{"role": "user", "content": "And my password?"}]}
        assert post("/chat", question, "k-1").status_code == 200
        assert post("/v1/chat/completions", completion, "k-2").status_code == 200
        assert post("/api/events/", EVENT, "k-3").status_code == 202
        assert "Forgot" in IdempotentRequest.objects.order_by("created_at")[0].body
        assert purge_document("knowledge_base", "reset") == []
        assert list(IdempotentRequest.objects.exclude(body="").values_list("status", flat=True)) == [202]
        assert code_of(post("/chat", question, "k-1")) == (410, "answer_erased")
        assert code_of(post("/v1/chat/completions", completion, "k-2")) == (410, "answer_erased")
        assert len(model.requests) == 2

    def test_one_that_is_stored_after_the_purge_is_found_and_erased(self, post: Any, embedder: Any) -> None:
        index_document("knowledge_base", "reset", "# Reset\n\nClick **Forgot password?** on the sign-in page.")
        assert post("/chat", {"user_id": "ana", "message": "How do I reset my password?"}).status_code == 200
        late = IdempotentRequest.objects.values("status", "body").get()
        purge_document("knowledge_base", "reset")
        IdempotentRequest.objects.update(**late)
        index = Index.objects.get(name="knowledge_base")
        (found,) = verify(index)
        assert "1 kept answers to requests with a key" in str(found)
        repair(index, [found])
        assert list(verify(index)) == [] and row().body == ""
        IdempotentRequest.objects.update(**late)
        continue_purges()
        assert row().body == ""
