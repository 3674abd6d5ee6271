"""POST /chat answers from the documents, with citations, and leaves its evidence."""

import hashlib
import json
from typing import Any

import pytest

from chat.citations import quote_of
from chat.definitions import INSTRUCTIONS
from chat.models import Conversation, Message
from chat.providers.extractive import NOTICE
from contexts.declaration import context
from contexts.items import ContextItem
from contexts.models import Trace
from contexts.tokens import tokenizer_for
from events.models import Event
from events.processing import process
from tests.model_server import TEXT, ModelServer

pytestmark = pytest.mark.django_db


def test_without_a_key_it_quotes_the_sentences_that_answer_and_says_so(bot: None, ask: Any) -> None:
    response = ask()
    assert response.status_code == 200
    body = response.json()
    assert "Click **Forgot password?** on the sign-in page. [1]" in body["response"]
    assert body["notice"] == NOTICE
    assert body["extractive"] is True
    citation = body["citations"][0]
    assert citation["document_id"] == "reset-your-password"
    assert citation["title"] == "Reset your password"
    assert citation["is_cited"]
    assert citation["quote"] in body["context_used"]
    assert {"chunk", "score"} <= citation.keys()
    assert body["usage"]["context_tokens"] > 20


def test_what_no_document_holds_is_not_invented(bot: None, ask: Any) -> None:
    body = ask("zxqv wvut 12345 ###").json()
    assert body["response"].startswith("I do not know the answer to that.")
    assert body["flags"] == ["not_known"]


def test_the_tier_chooses_the_context(bot: None, ask: Any) -> None:
    premium, free = ask(user_id="user_123").json(), ask(user_id="user_456").json()
    assert (premium["usage"]["max_tokens"], free["usage"]["max_tokens"]) == (8000, 4000)
    assert "Ticket #102: Subject 102" in premium["context_used"]
    assert "User tier: free" in free["context_used"]
    assert "Ticket" not in free["context_used"]


def test_a_user_never_seen_before_gets_an_answer(bot: None, ask: Any) -> None:
    body = ask(user_id="nobody-yet").json()
    assert "User tier: free" in body["context_used"]


def test_the_model_answers_with_the_context(bot: None, ask: Any, model: ModelServer) -> None:
    body = ask().json()
    assert body["response"] == TEXT
    assert body["usage"] | {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120} == body["usage"]
    assert (body["model"], body["extractive"]) == ("stub-model", False)
    assert [citation["number"] for citation in body["citations"] if citation["is_cited"]] == [1]
    sent = model.requests[0]
    system, user = sent["messages"]
    assert (system["role"], user["role"]) == ("system", "user")
    # What the bot's author wrote is the system's, the passages stand above the question, each in its fence.
    reference = user["content"].removesuffix("\n\nHow do I reset my password?")
    sent_lines = f"{system['content']}\n{reference}".splitlines()
    assert set(body["context_used"].splitlines()) <= set(sent_lines)
    assert body["usage"]["context_tokens"] == tokenizer_for("gpt-4o-mini").count(body["context_used"])
    assert INSTRUCTIONS in system["content"]
    assert "Forgot password?" in reference and "Forgot password?" not in system["content"]
    assert sent["model"] == "gpt-4o-mini"


def test_the_trace_holds_all_that_the_model_saw(bot: None, ask: Any, model: ModelServer) -> None:
    body = ask().json()
    trace = Trace.objects.select_related("body").get(pk=body["context_id"])
    assert hashlib.sha256(trace.body.text.encode()).hexdigest() == trace.digest
    evidence = json.loads(trace.body.text)
    assert evidence["messages"] == model.requests[0]["messages"]
    assert {read["feature"] for read in evidence["features"]} == {"user_tier", "support_history", "message_count"}
    assert evidence["searches"][0]["hits"][0]["semantic_rank"] == 1
    assert evidence["retrievers"][0]["retriever"] == "knowledge_base"
    assert sum(item["kept"] for item in evidence["items"]) == trace.kept
    assert evidence["budget"]["tokens"] == trace.tokens == body["usage"]["context_tokens"]
    assert (trace.state, trace.answer, trace.user_id) == ("answered", TEXT, "user_123")
    assert trace.outcome["usage"]["total_tokens"] == 120


def test_messages_are_kept_in_a_conversation_and_counted(bot: None, ask: Any) -> None:
    first = ask().json()
    second = ask("And invoices?", conversation_id=first["conversation_id"]).json()
    assert first["conversation_id"] == second["conversation_id"]
    roles = Conversation.objects.get(pk=first["conversation_id"]).messages.values_list("role", flat=True)
    assert list(roles) == ["user", "assistant", "user", "assistant"]
    events = Event.objects.filter(event_type="message_sent", entity_id="user_123")
    said = Message.objects.filter(role="user").order_by("pk")
    assert [event.payload for event in events.order_by("pk")] == [
        {"conversation_id": first["conversation_id"], "message_id": message.pk, "context_id": str(message.trace_id)}
        for message in said
    ]
    for event in events:
        process(event.pk)
    from asgiref.sync import async_to_sync

    from chat.definitions import store

    assert async_to_sync(store.get_feature)("message_count", "user_123") == 2


def test_another_users_conversation_is_not_found_and_costs_nothing(bot: None, ask: Any, settings: Any) -> None:
    settings.FABRA_RATE_LIMIT_DEFAULT = 1
    conversation = ask().json()["conversation_id"]
    for unknown in (conversation, conversation + 1, 2**63 - 1):
        response = ask("Hello?", user_id="user_456", conversation_id=unknown)
        assert (response.status_code, response.json()["error"]["code"]) == (404, "conversation_not_found")
    assert Message.objects.count() == 2
    assert ask("Hello?", user_id="user_456").status_code == 200


def test_a_context_around_another_stores_the_message_once(bot: None, ask: Any, use_context: Any) -> None:
    from chat.definitions import chat_context_free, store

    @context(store, name="test_around_another")
    async def around(user_id: str, query: str) -> list[ContextItem]:
        inner = await chat_context_free(user_id=user_id, query=query)
        return [ContextItem(content=f"Of another context:\n{inner.content}", required=True)]

    use_context(around)
    body = ask().json()
    message = Message.objects.get(role="user")
    assert Trace.objects.count() == 2
    assert str(message.trace_id) == body["context_id"]
    assert message.conversation_id == body["conversation_id"]
    assert Event.objects.filter(event_type="message_sent").count() == 1


def test_contexts_that_were_assembled_before_a_failure_leave_their_traces(
    bot: None, ask: Any, use_context: Any
) -> None:
    @context(None, name="test_before_the_failure")
    async def inner(user_id: str, query: str) -> list[ContextItem]:
        return [ContextItem("Inner.", priority=0)]

    async def broken(user_id: str, query: str) -> str:
        await inner(user_id, query)
        return "no context"

    use_context(broken)
    assert ask().status_code >= 400
    trace = Trace.objects.get()
    assert (trace.context, trace.state) == ("test_before_the_failure", Trace.State.ASSEMBLED)
    assert not Message.objects.exists()


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        ("500", 502, "model_failed"),
        ("401", 502, "model_refused"),
        ("nonsense", 502, "model_failed"),
        ("garble", 502, "model_failed"),
        ("drop", 502, "model_unreachable"),
        ("hang", 504, "model_timeout"),
    ],
)
def test_a_model_that_fails_gives_a_stable_code(
    bot: None, ask: Any, model: ModelServer, settings: Any, behaviour: str, status: int, code: str, caplog: Any
) -> None:
    model.behaviour = behaviour
    if behaviour == "hang":
        settings.FABRA_MODEL_TIMEOUT_S = 1.0
    response = ask()
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert code in caplog.text
    assert "secret" not in response.content.decode() + caplog.text
    assert len(model.requests) <= 2  # one bounded retry
    trace = Trace.objects.get()
    assert (trace.state, trace.error_code) == ("failed", code)
    assert Message.objects.get().role == "user"


def test_the_deadline_holds_whatever_the_model_does(bot: None, ask: Any, model: ModelServer, settings: Any) -> None:
    settings.FABRA_CHAT_DEADLINE_S = 0.5
    settings.FABRA_MODEL_TIMEOUT_S = 30
    model.behaviour = "hang"
    response = ask()
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")
    # Where all of it went by before the model was asked, there was nothing to end.
    assert not model.requests or model.cut_off.wait(30)


def test_no_answer_leaves_without_its_evidence(bot: None, ask: Any, model: ModelServer) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE contexts_tracebody ADD CONSTRAINT no_more CHECK (false) NOT VALID")
    response = ask()
    assert (response.status_code, response.json()["error"]["code"]) == (503, "trace_not_written")
    assert model.requests == []
    assert not Message.objects.exists()


def test_with_redis_down_it_answers_and_says_what_was_degraded(bot: None, ask: Any, redis_down: None) -> None:
    response = ask()
    assert response.status_code == 200
    body = response.json()
    assert "rate_limit_degraded" in body["flags"]
    assert "feature_degraded:user_tier" in body["flags"]
    assert response.headers["X-RateLimit-Degraded"] == "true"
    assert body["citations"]


def test_a_missing_index_is_no_empty_answer(db: Any, settings: Any, ask: Any) -> None:
    settings.DEBUG = True
    response = ask()
    assert (response.status_code, response.json()["error"]["code"]) == (404, "index_not_found")
    assert Trace.objects.get().error_code == "index_not_found"


def test_debug_context_returns_the_trace(bot: None, client: Any) -> None:
    response = client.get("/debug/context/user_123", {"query": "How do I reset my password?"})
    body = response.json()
    assert body["inputs"] == {
        "user_id": "user_123", "query": "How do I reset my password?", "conversation": "0 earlier turns",
        "index": "knowledge_base",
    }  # fmt: skip
    assert all({"priority", "tokens", "kept", "reason"} <= item.keys() for item in body["items"])
    assert all({"age_s", "source"} <= read.keys() for read in body["features"])
    digest = body.pop("hash")
    assert (
        hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()
        == digest
    )
    assert Trace.objects.get(pk=body["context_id"]).digest == digest


def test_a_saved_document_changes_the_answer(bot: None, ask: Any) -> None:
    from retrieval.models import Document

    ask()
    document = Document.objects.get(entity_id="reset-your-password")
    document.text = "# Reset your password\n\nCall us on the telephone."
    document.save()
    event = Event.objects.filter(event_type="doc_updated").get()
    process(event.pk)
    event.refresh_from_db()
    assert event.state == "done"
    body = ask().json()
    assert "Call us on the telephone" in body["response"]
    assert "Forgot" not in body["context_used"]


def test_a_quote_is_word_for_word_and_ends_where_it_should() -> None:
    steps = "# Steps\n\n" + "".join(f"{n}. Do the thing number {n} and wait for it.\n" for n in range(1, 30))
    quote = quote_of(steps)
    assert steps.startswith(quote)
    assert 200 < len(quote) <= 400
    assert quote.endswith("wait for it.")
    assert quote_of("word " * 200).endswith("word")
    assert quote_of(" short ") == "short"
