"""A question, its answer, and the state between them."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings

from chat.admission import Admission
from chat.callers import Caller
from chat.citations import Citation
from chat.errors import InvalidMessage, MessageTooLong
from chat.models import Message
from chat.providers import Provider
from chat.providers.extractive import NOTICE
from common.validation import check_text, is_blank
from contexts.items import Context
from events.models import Event


@dataclass(frozen=True, kw_only=True)
class Question:
    user_id: str
    message: str
    conversation_id: int | None = None
    caller: Caller = field(default_factory=Caller)

    def validate(self) -> "Question":
        """Return the question with a normalised user id; raise InvalidInput or one of its subclasses, UserForbidden."""
        user_id = self.caller.check_user(self.user_id)
        if is_blank(check_text(self.message, "message")):
            raise InvalidMessage("message must not be empty.")
        if len(self.message) > settings.FABRA_MESSAGE_MAX_CHARS:
            raise MessageTooLong(f"message must have at most {settings.FABRA_MESSAGE_MAX_CHARS} characters.")
        return replace(self, user_id=user_id)


@dataclass(frozen=True, kw_only=True)
class Answer:
    response: str
    context_used: str
    context_id: str
    conversation_id: int
    message_id: int | None = None
    """Of the answer's message; None until it is stored."""
    citations: list[Citation]
    usage: dict[str, Any]
    model: str
    is_extractive: bool
    flags: list[str]
    """What was degraded, such as `feature_degraded:user_tier`."""
    grounding: dict[str, Any] | None = None
    """Which sentences the passages support, as `Grounding.to_dict`; None if the check failed."""
    freshness: dict[str, Any] | None
    """The report of the context's `freshness_sla`; None without one."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "response": self.response,
            "context_used": self.context_used,
            "context_id": self.context_id,
            "conversation_id": self.conversation_id,
            "message_id": self.message_id,
            "citations": [citation.to_dict() for citation in self.citations],
            "usage": self.usage,
            "model": self.model,
            "extractive": self.is_extractive,
            "flags": self.flags,
            "grounding": self.grounding,
            **({"notice": NOTICE} if self.is_extractive else {}),
        }


@dataclass(kw_only=True)
class Turn:
    """The state of one message while it is answered."""

    question: Question
    admission: Admission
    provider: Provider
    context: Context
    deadline: float
    """By the event loop's clock, in seconds."""
    message: Message
    """The user's message."""
    event: Event
    """The `message_sent` event."""
    started: float = field(default_factory=time.perf_counter)
    parts: list[str] = field(default_factory=list)

    @property
    def context_id(self) -> str:
        return self.context.id

    @property
    def conversation_id(self) -> int:
        return self.message.conversation.pk

    def elapsed_ms(self) -> float:
        return round((time.perf_counter() - self.started) * 1000, 3)
