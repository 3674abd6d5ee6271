"""Examples of requests and responses for the OpenAPI schema, as the sample knowledge base gives them."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

CONTEXT_ID = "0b9f9a5e-3c1e-4a53-9d0f-2f3f6d2b8c11"
CONVERSATION_ID, MESSAGE_ID = 42, 84
TEXT = "Click **Forgot password?** on the sign-in page [1]."
GROUNDING = {
    "share": 1.0, "dropped": [],
    "sentences": [{"start": 0, "end": 51, "verdict": "supported", "passage": 1, "span": [0, 47], "reasons": []}],
}  # fmt: skip
IN_PATH: dict[str, Any] = {
    "conversation_id": CONVERSATION_ID, "message_id": MESSAGE_ID, "context_id": CONTEXT_ID, "user_id": "user_123",
    "entity": "User", "entity_id": "user_123", "name": "support", "event_id": "shop-1", "source": "cms",
    "model_id": "chat_context",
}  # fmt: skip
"""Examples of the parts of addresses, by their names."""


def request(name: str, value: Any) -> OpenApiExample:
    return OpenApiExample(name, value=value, request_only=True)


def answer(name: str, value: Any, *statuses: int, media_type: str = "application/json") -> OpenApiExample:
    """Return an example of an answer, by default of one with the status 200."""
    codes = [str(status) for status in statuses or (200,)]
    return OpenApiExample(name, value=value, response_only=True, status_codes=codes, media_type=media_type)


def events(name: str, value: Any, *statuses: int) -> OpenApiExample:
    """Return an example of an event of a stream."""
    return answer(name, value, *statuses, media_type="text/event-stream")


CITATION = {
    "number": 1, "document_id": "reset-your-password", "title": "Reset your password",
    "heading_path": "Reset your password", "index": "knowledge_base", "version": 1, "chunk_id": 7, "chunk": 7,
    "score": 1.21, "is_cited": True, "url": "", "quote": "Click **Forgot password?** on the sign-in page.",
}  # fmt: skip
_DOCUMENT = {
    "id": 7, "index_name": "knowledge_base", "entity_id": "pay", "title": "Pay", "metadata": {"category": "billing"},
    "audience": [], "state": "indexed", "error": "", "version": 3, "etag": '"v3"',
    "created_at": "2026-01-31T08:00:00Z", "updated_at": "2026-02-01T09:30:00Z", "indexed_at": "2026-02-01T09:30:00Z",
    "deleted_at": None,
}  # fmt: skip

CHAT = [
    OpenApiExample(
        "A question", value={"user_id": "user_123", "message": "How do I reset my password?"}, request_only=True
    ),
    OpenApiExample(
        "A follow-up, streamed",
        value={"user_id": "user_123", "message": "And if the link has expired?", "stream": True},
        request_only=True,
    ),
    answer(
        "An answer",
        {
            "response": TEXT, "context_used": "You are a helpful assistant.", "context_id": CONTEXT_ID,
            "conversation_id": CONVERSATION_ID, "message_id": MESSAGE_ID, "citations": [CITATION],
            "usage": {"context_tokens": 350, "max_tokens": 8000, "prompt_tokens": 390, "completion_tokens": 20},
            "model": "gpt-4o-mini", "extractive": False, "flags": [], "state": "bot", "grounding": GROUNDING,
        },
    ),
    events("A piece of a stream", {"event": "delta", "data": '{"text": "Click **Forgot password?**"}'}),
    answer(
        "A person answers, later",
        {
            "response": "", "context_used": "", "context_id": None, "conversation_id": CONVERSATION_ID,
            "message_id": MESSAGE_ID, "citations": [], "usage": {}, "model": "", "extractive": False, "flags": [],
            "state": "person", "grounding": None,
        },
        202,
    ),
    events("A person answers, as a stream", {"event": "done", "data": '{"response": "", "state": "person"}'}, 202),
]  # fmt: skip
_STATE = {"conversation_id": 42, "state": "person", "agent": "Kim Berg"}


def _desk(name: str, request: dict[str, Any], **answer: Any) -> list[OpenApiExample]:
    """Return the examples of an endpoint for desks, and of what refuses it."""
    held = {"code": "conversation_state", "message": "Lee Moll holds this conversation."}
    return [
        OpenApiExample(name, value=request, request_only=True),
        OpenApiExample("Done", value=_STATE | answer, response_only=True, status_codes=["200"]),
        OpenApiExample("Held by another", value={"error": held}, response_only=True, status_codes=["409"]),
    ]


DESK_ASSIGN = _desk("To an agent", {"agent": "kim"})
DESK_REPLY = _desk("A reply", {"agent": "kim", "text": "Your refund is **on its way**."}, message_id=84)
DESK_HAND_BACK = _desk("To the bot", {"agent": "kim"}, state="bot", agent=None)
DESK_CLOSE = _desk("With a note", {"agent": "kim", "note": "Refunded."}, state="closed", agent=None)
DESK_TRANSFER = _desk("To a colleague", {"agent": "kim", "to": "lee"}, agent="Lee Moll")
DESK_TRANSFER.append(OpenApiExample("Into the queue", value={"agent": "kim", "to": None}, request_only=True))
DOCUMENT_REQUEST = OpenApiExample(
    "A document",
    value={
        "index_name": "knowledge_base", "entity_id": "pay", "text": "# Pay\n\nBy card or invoice.",
        "metadata": {"category": "billing"}, "audience": ["premium"],
    },
    request_only=True,
)  # fmt: skip
INDEXED = answer(
    "Indexed", {"document_id": "pay", "version": 3, "is_changed": True, "chunk_count": 1, "embedded_count": 1}, 200, 201
)
PURGED = answer("What is left", {"left": [f"trace:{CONTEXT_ID}: still being written"]}, 202)
DOCUMENTS = OpenApiExample("Documents", value=_DOCUMENT, response_only=True, status_codes=["200"])
DOCUMENT = OpenApiExample(
    "A document", value=_DOCUMENT | {"text": "# Pay\n\nBy card or invoice."}, response_only=True, status_codes=["200"]
)
CHANGED = OpenApiExample(
    "Changed meanwhile",
    value={"error": {"code": "document_changed", "message": "The document 'pay' has changed: it is in version 4."}},
    response_only=True,
    status_codes=["412"],
)
EVENTS = [
    OpenApiExample(
        "An event",
        value={"event_type": "order_shipped", "entity_id": "user_123", "payload": {"order": 1002}},
        request_only=True,
    ),
    OpenApiExample(
        "Several events",
        value={
            "events": [
                {"event_type": "order_shipped", "entity_id": "user_123", "payload": {"order": 1001}, "id": "shop-1"},
                {"event_type": "order_paid", "entity_id": "user_456", "payload": {"order": 1003}},
            ]
        },
        request_only=True,
    ),
]
_EVENT_ROW = {
    "id": "shop-1", "event_type": "order_shipped", "entity_id": "user_123", "source": "api", "sender": "shop",
    "state": "done", "attempts": 1, "occurred_at": "2026-01-02T03:04:05Z", "published_at": None,
    "received_at": "2026-01-02T03:04:05.1Z", "started_at": "2026-01-02T03:04:05.2Z", "applied_at": None,
    "finished_at": "2026-01-02T03:04:05.3Z",
}  # fmt: skip
_EVENT = _EVENT_ROW | {
    "payload": {"order": 1002}, "notice": "",
    "handlers": [
        {"handler": "feature last_order", "is_done": True, "attempts": 1, "duration_ms": 4.2, "detail": {"changed": 1}}
    ],
}  # fmt: skip
EVENT_ROWS = answer("Events", _EVENT_ROW)
EVENT = answer("An event", _EVENT, 200, 202)
WEBHOOK = [
    request("An event", {"event_type": "order_shipped", "entity_id": "user_123", "payload": {"order": 1002}}),
    answer("Received", {"id": "shop-1", "state": "pending", "is_new": True}, 200, 202),
]
HIT = {
    "url": "", "content": "By card or invoice.", "score": 1.21, "metadata": {"category": "billing"},
    "document_id": "pay", "chunk_id": 7, "title": "Pay", "heading_path": "Pay", "index": "knowledge_base",
    "version": 3, "position": 0, "semantic_score": 0.71, "lexical_score": 0.66, "semantic_rank": 1,
    "lexical_rank": 1, "rerank_score": None, "duplicates": [],
}  # fmt: skip
HITS = answer("Hits", {"hits": [HIT], "flags": []})
_TRACE = {
    "context_id": CONTEXT_ID, "context": "chat_context_premium", "query": "And how long is it valid?",
    "created_at": "2026-02-01T09:30:00Z", "state": "answered", "model": "gpt-4o-mini", "tokens": 350,
    "max_tokens": 8000, "flags": [],
}  # fmt: skip
TRACE_ROWS = answer(
    "Traces",
    _TRACE
    | {
        "user_id": "user_123", "kept": 8, "dropped": 1, "duration_ms": 10.4, "error_code": "",
        "answered_at": "2026-02-01T09:30:02Z",
    },
)  # fmt: skip
TRACE = answer(
    "A trace",
    _TRACE
    | {
        "usage": {"prompt_tokens": 390, "completion_tokens": 20},
        "attempts": [
            {
                "provider": "openai", "model": "gpt-4o", "code": "model_failed", "status": 503,
                "why": "overloaded", "ms": 210.5, "first_ms": None, "retried_after_ms": None, "usage": None,
            },
            {
                "provider": "openai", "model": "gpt-4o-mini", "code": "ok", "status": None, "why": "", "ms": 1204.1,
                "first_ms": 380.2, "retried_after_ms": None, "usage": None,
            },
        ],
        "searches": [
            {
                "index": "knowledge_base", "query": "And how long is it valid?", "found": 5,
                "history": ["How do I reset my password?"], "rewritten": "How long is the reset link valid?",
            }
        ],
        "items": [
            {
                "position": 0, "title": "", "content": "You are a helpful assistant.", "priority": 0, "required": True,
                "source_id": None, "tokens": 6, "kept": True, "reason": "required", "dropped_as": None,
                "part": "system",
            }
        ],
    },
)  # fmt: skip
FEATURES = OpenApiExample(
    "Values",
    value={
        "entity": "User", "entity_id": "user_123",
        "features": {
            "user_tier": {
                "value": "premium", "status": "fresh", "source": "online", "is_degraded": False, "age_s": 12.5,
                "event_timestamp": "2026-02-01T09:30:00Z", "created_at": "2026-02-01T09:30:00Z",
            }
        },
    },
    response_only=True,
    status_codes=["200"],
)  # fmt: skip
