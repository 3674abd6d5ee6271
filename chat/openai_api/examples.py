"""Examples of requests and responses in the OpenAPI schema."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

DESCRIPTION = (
    "Takes what OpenAI's `POST /chat/completions` takes; docs/clients.md says what of it is passed on to the language "
    "model, ignored by name, or refused. With `stream: true` the answer is `text/event-stream`."
)
QUESTION = OpenApiExample(
    "A question",
    request_only=True,
    value={
        "model": "default",
        "user": "user_123",
        "messages": [{"role": "user", "content": "How do I reset my password?"}],
    },
)
_CONTEXT_ID = "0b0c6a3e-6f0e-4a57-9f35-0a5f3a1d2c11"
_TEXT = "Click **Forgot password?** on the sign-in page [1]."
_CITATION: dict[str, Any] = {
    "number": 1, "document_id": "reset-your-password", "title": "Reset your password", "heading_path": "",
    "index": "knowledge_base", "version": 3, "chunk_id": 17, "chunk": 17, "score": 0.82, "is_cited": True,
    "url": "https://help.example.com/reset", "quote": "Click **Forgot password?** on the sign-in page.",
}  # fmt: skip
COMPLETION = OpenApiExample(
    "An answer",
    response_only=True,
    status_codes=["200"],
    media_type="application/json",
    value={
        "id": f"chatcmpl-{_CONTEXT_ID}", "object": "chat.completion", "created": 1764150000, "model": "chat_context",
        "choices": [
            {
                "index": 0, "logprobs": None, "finish_reason": "stop",
                "message": {
                    "role": "assistant", "content": _TEXT, "refusal": None,
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url_citation": {
                                "start_index": _TEXT.index("[1]"), "end_index": _TEXT.index("[1]") + 3,
                                "url": _CITATION["url"], "title": _CITATION["title"],
                            },
                        }
                    ],
                },
            }
        ],
        "usage": {"prompt_tokens": 812, "completion_tokens": 21, "total_tokens": 833},
        "fabra": {
            "context_id": _CONTEXT_ID, "conversation_id": 4, "message_id": 9, "citations": [_CITATION],
            "usage": {"context_tokens": 640, "max_tokens": 4000, "prompt_tokens": 812, "completion_tokens": 21,
                      "total_tokens": 833, "cost_usd": 0.0001344},
            "model": "gpt-4o-mini", "extractive": False, "flags": [],
            "grounding": {"share": 1.0, "sentences": [], "dropped": []}, "state": "bot", "ignored": ["tools"],
        },
    },
)  # fmt: skip
CHUNK = OpenApiExample(
    "A piece of a stream",
    response_only=True,
    status_codes=["200"],
    media_type="text/event-stream",
    value={
        "data": f'{{"id": "chatcmpl-{_CONTEXT_ID}", "object": "chat.completion.chunk", "created": 1764150000, '
        '"model": "chat_context", "choices": [{"index": 0, "delta": {"content": "Click "}, "finish_reason": null}]}'
    },
)
_MODELS: list[dict[str, Any]] = [
    {
        "id": name, "object": "model", "created": 1764140000, "owned_by": "fabra", "description": description,
        "max_context_tokens": most,
    }
    for name, description, most in (
        ("chat_context", "The context of a chat: the user's tier chooses its budget.", None),
        ("chat_context_free", "What the model sees for a user of the free plan.", 4000),
    )
]  # fmt: skip
MODELS = OpenApiExample(
    "Two contexts", response_only=True, status_codes=["200"], value={"object": "list", "data": _MODELS}
)
MODEL = OpenApiExample("A context", response_only=True, status_codes=["200"], value=_MODELS[0])
ERROR = OpenApiExample(
    "An unknown model",
    response_only=True,
    status_codes=["404"],
    value={
        "error": {
            "message": "The model 'gpt-4o' does not exist, or this key may not use it.",
            "type": "invalid_request_error", "param": "model", "code": "model_not_found",
        }
    },
)  # fmt: skip
