"""Examples of conversations for the OpenAPI schema: a customer asks how to reset a password."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

from chat.api.examples import CITATION, CONTEXT_ID, CONVERSATION_ID, GROUNDING, MESSAGE_ID, TEXT, answer, request

_CONVERSATION: dict[str, Any] = {
    "id": CONVERSATION_ID, "user_id": "user_123", "bot": "default", "title": "How do I reset my password?",
    "state": "bot", "agent": None, "created_at": "2026-02-01T09:30:00Z", "last_message_at": "2026-02-01T09:30:02Z",
    "last_message_id": MESSAGE_ID,
}  # fmt: skip
_QUESTION: dict[str, Any] = {
    "id": MESSAGE_ID - 1, "role": "user", "text": "How do I reset my password?", "created_at": "2026-02-01T09:30:00Z",
    "author": None, "client_id": "5c1f6a0e-5a9b-4f0e-9d52-0b6a2f0c7d11", "context_id": CONTEXT_ID, "citations": [],
    "grounding": None, "flags": [],
}  # fmt: skip
_ANSWER: dict[str, Any] = {
    "id": MESSAGE_ID, "role": "assistant", "text": TEXT, "created_at": "2026-02-01T09:30:02Z", "author": None,
    "client_id": None, "context_id": CONTEXT_ID, "citations": [CITATION], "grounding": GROUNDING, "flags": [],
}  # fmt: skip
_STATE = {"conversation_id": CONVERSATION_ID, "state": "waiting", "agent": None}

CONVERSATION = answer("A conversation", _CONVERSATION)
RENAMING = [request("A new title", {"title": "Password"}), answer("Renamed", _CONVERSATION | {"title": "Password"})]
DELETED = answer("What is left", {"left": [f"trace:{CONTEXT_ID}: still being written"]}, 202)
MESSAGES = answer(
    "Messages",
    {
        "messages": [
            _QUESTION | {"feedback": None}, _ANSWER | {"feedback": {"value": "up", "comment": "That helped."}},
        ],
        "has_earlier": False, "has_later": False, "next": None, "previous": None,
    },
)  # fmt: skip
EXPORTS = [
    answer("A file of JSON", _CONVERSATION | {"messages": [_QUESTION, _ANSWER]}, media_type="application/json"),
    OpenApiExample(
        "A file to be read",
        value=f"# How do I reset my password?\n\nuser\\_123\n\n**Answer**, 2026-02-01 09:30\n\n{TEXT}\n",
        response_only=True, status_codes=["200"], media_type="text/markdown",
    ),
]  # fmt: skip
STOPPED = answer("Stopped", {"stopped": 1, "asked_others": True})
WAITING = answer("A person was asked", _STATE)
WITHDRAWN = answer("The bot goes on", {**_STATE, "state": "bot"})
CONTACT = [request("An address", {"email": "ana@example.com"}), WAITING]
FEEDBACK = [
    request("A good answer", {"value": "up", "comment": "That helped."}),
    answer("Kept", {"message_id": MESSAGE_ID, "value": "up", "comment": "That helped."}),
]
PASSAGES = answer(
    "Passages",
    {
        "passages": [
            {
                "number": 1, "content": "Click **Forgot password?** on the sign-in page.",
                "html": "<p>Click <strong>Forgot password?</strong> on the sign-in page.</p>", "admin_url": "",
            }
        ]
    },
)  # fmt: skip
