"""Rows for the admin's pages: some of every table that it lists."""

import json
from datetime import timedelta
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.auth.models import Group
from django.contrib.postgres.search import SearchVector
from django.db.models import Value
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from chat.models import (
    ApiKey,
    AuditEntry,
    Bot,
    Conversation,
    Feedback,
    Gap,
    GapQuestion,
    LanguagePhrases,
    LimitSettings,
    Message,
    ModelCall,
    ModelProvider,
    TierLimit,
    UserSigning,
)
from contexts.models import ContextDefinition, Trace, TraceBody
from contexts.traces import digest_of
from events.models import HandlerOutcome, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from features.models import (
    EntityDefinition,
    FeatureDefinition,
)
from retrieval.models import (
    Chunk,
    IngestionFile,
    ModelSource,
    RetrieverDefinition,
    SourcedObject,
)
from tests.factories import (
    CalibrationRunFactory,
    ChunkFactory,
    CustomerFactory,
    DocumentFactory,
    EvaluationOutcomeFactory,
    EvaluationRunFactory,
    EventFactory,
    FeatureValueFactory,
    GoldenQuestionFactory,
    IngestionRunFactory,
    KnownEntityFactory,
    MaterializationRunFactory,
    TicketFactory,
)  # fmt: skip

VECTOR = [0.123456, 0.654321, 0.5]


def fill(count: int, start: int = 0) -> None:
    """Write `count` rows into every table that the admin lists, numbered from `start` on."""
    for number in range(start, start + count):
        _definitions(number)
        _features(number)
        _event(number)
        chunk = _document(number)
        _chat(number, chunk)
        _evaluation(number, chunk)
        _ingestion(chunk)
        _access(number)


def _definitions(number: int) -> None:
    common: dict[str, Any] = {"name": f"name_{number}", "location": "module:1", "description": "What it is."}
    EntityDefinition.objects.create(**common, key="user_id")
    source = ModelSource.objects.create(**common, model="chat.ticket", index="desk", format="markdown")
    SourcedObject.objects.create(source=source, object_pk="1", error="text(): it raised KeyError: <b>text</b>")
    FeatureDefinition.objects.create(
        **common, entity="User", declared_refresh=timedelta(minutes=5), materialize=True, ttl=timedelta(hours=1)
    )
    RetrieverDefinition.objects.create(**common, index="knowledge_base", top_k=5)
    ContextDefinition.objects.create(**common, declared_max_tokens=4000, overflow="raise")
    IntervalSchedule.objects.create(every=1000 + number, period=IntervalSchedule.SECONDS)
    crontab = CrontabSchedule.objects.create(minute=str(number % 60), hour=str(number // 60))
    PeriodicTask.objects.create(name=f"task {number}", task="some.task", crontab=crontab)


def _features(number: int) -> None:
    run = MaterializationRunFactory.create(
        feature="name_0", state="done", total=3, done=2, failed=1, errors=[{"entity_key": "u", "error": "<b>no</b>"}]
    )
    FeatureValueFactory.create(
        entity="User", entity_key=f"user_{number}", feature="name_0", value={"n": number}, run=run
    )
    KnownEntityFactory.create(entity="User", entity_key=f"user_{number}")


def _event(number: int) -> None:
    event = EventFactory.create(
        event_type="message_sent", entity_id=f"user_{number}", payload={"text": "<b>"},
        state="dead" if number % 2 else "done", error="Traceback\nValueError: <script>no</script>",
    )  # fmt: skip
    HandlerOutcome.objects.create(event=event, handler="feature:name_0", error="Traceback\nValueError: no", attempts=1)
    endpoint = WebhookEndpoint.objects.create(
        name=f"desk {number}", url=f"https://desk.example.com/hooks/support/{number}",
        event_types=["conversation_*", "feedback_given"],
    )  # fmt: skip
    for state in WebhookDelivery.State:
        told = EventFactory.create(
            event_type="conversation_escalated", entity_id=f"user_{number}", payload={"text": "<b>"}
        )
        delivery = WebhookDelivery.objects.create(
            endpoint=endpoint, event=told, state=state, attempts=1, status=502, error="http_502"
        )
        WebhookAttempt.objects.create(
            delivery=delivery, attempted_at=delivery.created_at, duration_ms=31.5, status=502, error="http_502",
            response="<script>no</script> Bad gateway",
        )  # fmt: skip


def _document(number: int) -> Chunk:
    text = f"# Title {number}\n\nSome <b>text</b>."
    document = DocumentFactory.create(
        index__name=f"index_{number}", entity_id=f"document-{number}", title=f"Title {number}", text=text
    )
    chunk: Chunk = ChunkFactory.create(document=document, lexemes=SearchVector(Value(text), config="english"))
    return chunk


def _evaluation(number: int, chunk: Chunk) -> None:
    index = chunk.document.index
    golden = GoldenQuestionFactory.create(
        index=index, question="How <script>alert(1)</script>?", expected_text="<b>text</b>", tags=["<i>"]
    )
    hit = {
        "document_id": "d", "title": "T", "heading_path": "<b>text</b>", "score": 0.5, "chunk_id": chunk.pk,
        "is_right": number % 2 == 0, "is_expected_document": True,
    }  # fmt: skip
    figures = {"hit_rate@5": 0.75, "mrr@10": 0.5, "ndcg@10": 0.25}
    run = EvaluationRunFactory.create(
        index=index, started_by="<b>text</b>", state="done", total=1, done=1, metrics=figures
    )
    EvaluationOutcomeFactory.create(
        run=run, golden_question=golden, expected="<b>text</b>",
        rank=None if number % 2 else 1, metrics=figures, found=[hit],
    )  # fmt: skip
    asked = {"question": "How <script>alert(1)</script>?", "score": 0.25, "document_id": "d", "title": "<b>text</b>"}
    CalibrationRunFactory.create(
        index=index, started_by="<b>text</b>", sources=["<b>text</b>"], answerable=[asked, asked | {"score": 0.75}]
    )


def _chat(number: int, chunk: Chunk) -> None:
    customer = CustomerFactory.create(user_id=f"user_{number}")
    TicketFactory.create(customer=customer, number=number, subject="It <b>broke</b>")
    ApiKey.make(f"key {number}", ["chat"])
    site, _ = ApiKey.make(f"site {number}", ["chat"], kind="public", origins=["https://shop.example.com"])
    UserSigning.objects.create(key=site)
    trace = make_trace(chunk, f"user_{number}")
    conversation = Conversation.objects.create(user_id=f"user_{number}")
    for role in Message.Role.values:
        message = Message.objects.create(
            conversation=conversation, user_id=f"user_{number}", role=role, text="<b>hi</b>", trace=trace
        )
        if role == Message.Role.USER:
            _gap(message, chunk)
        if role == Message.Role.ASSISTANT:
            Feedback.objects.create(
                message=message, user_id=f"user_{number}", value="down", comment="<script>alert(1)</script>"
            )


def _gap(message: Message, chunk: Chunk) -> None:
    gap = Gap.objects.create(
        title="How <script>alert(1)</script>?", question_count=1, centroid=VECTOR, document=chunk.document,
        decided_by="<b>text</b>",
    )  # fmt: skip
    citation = {"number": 1, "title": "<b>text</b>", "document_id": "d", "score": 0.5, "is_cited": True}
    after = {"answer": "<script>alert(1)</script>", "citations": [citation], "flags": [], "reasons": ["not_known"]}
    GapQuestion.objects.create(
        message=message, gap=gap, reasons=["not_known", "thumbed_down"], after=after, is_answered=False, vector=VECTOR
    )


def make_trace(chunk: Chunk, user_id: str, question: str = "How <script>alert(1)</script>?") -> Trace:
    """Write a trace as the assembly does: two items, one dropped, one search with one hit."""
    body: dict[str, Any] = {
        "format": 1, "context": "chat_context", "defined_at": "chat.definitions:1", "inputs": {"query": question},
        "items": [
            {"position": 0, "content": "<b>Kept</b> text", "priority": 0, "required": True,
             "source_id": f"chunk:{chunk.pk}", "tokens": 30, "kept": True, "reason": "required"},
            {"position": 1, "content": "Dropped text", "priority": 9, "required": False, "source_id": None,
             "tokens": 90, "kept": False, "reason": "over the budget of 100 tokens"},
        ],
        "budget": {"max_tokens": 100, "tokens": 31, "question_tokens": 3, "encoding": "o200k_base",
                   "encoding_is_exact": True, "model": "gpt-4o-mini", "overflow": False},
        "features": [
            {"feature": "user_tier", "entity": "User", "entity_key": user_id, "value": "premium", "status": "stale",
             "source": "offline", "event_timestamp": "2026-01-02T03:04:05+00:00", "age_s": 61.0, "value_id": None,
             "is_degraded": True, "error": ""},
        ],
        "searches": [
            {"index": "knowledge_base", "index_version": 3, "query": question, "top_k": 5, "filters": {"a": 1},
             "flags": [], "embed_ms": 1.5, "sql_ms": 2.5, "is_cached": False,
             "hits": [
                 {"chunk_id": chunk.pk, "document_id": chunk.document.entity_id, "version": 1,
                  "version_id": chunk.version_id, "title": "T", "heading_path": "T > <i>H</i>", "content": "C",
                  "score": 0.75, "semantic_score": 0.5, "semantic_rank": 1, "lexical_score": 0.25, "lexical_rank": 2},
             ]},
        ],
        "retrievers": [{"retriever": "knowledge_base", "arguments": {"query": question}, "is_cached": True,
                        "result_count": 1, "duration_ms": 4.0}],
        "contexts": [], "flags": ["feature_degraded:user_tier"], "timings_ms": {"function": 9.0, "assembly": 10.0},
        "messages": [{"role": "system", "content": "<b>Kept</b> text"}, {"role": "user", "content": question}],
    }  # fmt: skip
    text = json.dumps(body, ensure_ascii=False)
    trace = Trace.objects.create(
        context="chat_context", user_id=user_id, query=question, max_tokens=100, tokens=31, kept=1, dropped=1,
        duration_ms=10.0, flags=body["flags"], digest=digest_of(text), state="answered", answer="<b>Answer</b>",
        version_ids=[chunk.version_id],
        outcome={
            "usage": {"prompt_tokens": 1234, "cost_usd": 0.001}, "latency_ms": 20.0, "finish_reason": "stop",
            "attempts": [{"provider": "main", "model": "<b>text</b>", "code": "model_failed", "ms": 3.0}],
        },
    )  # fmt: skip
    TraceBody.objects.create(trace=trace, text=text)
    return trace


def _ingestion(chunk: Chunk) -> None:
    run = IngestionRunFactory.create(
        index=chunk.document.index, source="<b>text</b>", location="<script>alert(1)</script>", state="done", total=2
    )
    IngestionFile.objects.create(run=run, path="<b>text</b>", state="indexed", documents=1, chunks=1)
    IngestionFile.objects.create(run=run, path="bad.pdf", state="failed", reason="<script>alert(1)</script>")


def _access(number: int) -> None:
    ModelCall.objects.create(
        purpose="answer", provider="main", model="<b>text</b>", context="chat_context", user_id=f"user_{number}",
        prompt_tokens=1500, completion_tokens=200, cost_usd="0.000345", kind="exact",
    )  # fmt: skip
    Bot.objects.create(slug=f"bot-{number}", name="The <b>text</b> of a name", accent="#7a1fa2")
    code = f"{chr(97 + number // 26 % 26)}{chr(97 + number % 26)}"
    LanguagePhrases.objects.create(language=code, wishes=["<b>text</b>…"], greeting_reply="<script>alert(1)</script>")
    limits, _ = LimitSettings.objects.get_or_create(pk=1, defaults={"window_min": 60, "tier_feature": "user_tier"})
    TierLimit.objects.create(settings=limits, tier=f"tier_{number}", messages=number)
    ModelProvider.objects.create(
        name=f"model-{number}", model="<b>text</b>", base_url="https://models.example.com/v1", position=number,
        key_variable="MISSING_API_KEY", input_price_usd="0.15", output_price_usd="0.6",
    )  # fmt: skip
    Group.objects.get_or_create(name="<b>text</b>")
    sent: dict[str, Any] = {"username": f"<b>text</b>{number}", "ip_address": f"192.0.2.{number % 250}"}
    AccessAttempt.objects.create(**sent, user_agent="<script>alert(1)</script>", failures_since_start=5)
    AccessFailureLog.objects.create(**sent, user_agent="<b>text</b>", locked_out=True)
    AccessLog.objects.create(**sent, user_agent="<b>text</b>")
    AuditEntry.objects.create(
        by="user", who="<b>text</b>", address=sent["ip_address"], action="view", target="<script>alert(1)</script>",
        endpoint="<b>text</b>", path="/debug/context/<b>text</b>", status=403, detail="<b>text</b>",
    )  # fmt: skip
