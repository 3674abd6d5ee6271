"""A question, its answer, and the state between them."""

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings

from chat.access.callers import Caller
from chat.bots.known import BotConfig
from chat.citations import Citation, link_absolutely
from chat.cost_budgets.reservations import BudgetReservation
from chat.errors import DeadlineExceeded, InvalidMessage, MessageTooLong
from chat.limits.admission import Admission
from chat.models import Conversation, Message, ModelCall
from chat.providers import Provider
from chat.providers.extractive import notice_of
from chat.spending.calls import Spender
from chat.turns.lease import ConversationLease
from chat.turns.resolve_context import chat_context
from chat.turns.running import Stopping
from chat.turns.thread import ClientThread
from common.links import Asked
from common.validation import check_text, is_blank
from contexts.conversation import ConversationHistory
from contexts.items import Context

Piece = TypeVar("Piece")
OPERATOR_FIELDS = ("context_used", "usage", "model")
"""What of an answer is the operator's: the instructions and the features of the user, and what it cost by which model.
A site's pages do not get it, nor whoever may not see traces on the chat page."""


@dataclass(frozen=True, kw_only=True)
class Question:
    user_id: str
    message: str
    conversation_id: int | None = None
    client_id: UUID | None = None
    """Made by the client: what it sends twice is one message, and answered once."""
    stored_id: int | None = None
    """The message that is stored already, and is answered now."""
    open_ids: tuple[int, ...] = ()
    """Stored messages of the same conversation that nobody has answered, and that are asked together with this one."""
    open_text: str = ""
    """What is asked then; "" for the message alone."""
    count_token: str = ""
    """What its limits count it by: with the same token it counts once, however often it is sent. "": once each time."""
    bot: str = ""
    """The slug of the bot that is asked; "" for the conversation's, or else the caller's or the default one."""
    context: str = ""
    """The name of the declared context that it is answered from; "" for the bot's, the caller's, or the settings'."""
    index: str = ""
    """What a context that takes an `index` searches; "" for its own."""
    model: str = ""
    """The model that is asked first; "" for the context's, or the first that is configured."""
    thread: ClientThread | None = None
    """What was said before, where the client keeps that itself and tells it with each question."""
    options: dict[str, Any] = field(default_factory=dict)
    """Parameters of the model's call that the client chose, such as `temperature`, by OpenAI's names."""
    max_tokens: int | None = None
    """The most tokens that the client wants; never more than the model's longest answer."""
    caller: Caller = field(default_factory=Caller)

    @property
    def asked(self) -> str:
        """What is searched for, and answered."""
        return self.open_text or self.message

    def validate(self) -> "Question":
        """Return the question with a normalised user id, and the bot that its caller is bound to.

        Raise InvalidInput or one of its subclasses, UserForbidden, BotForbidden, ContextForbidden, NotFound for the
        context.
        """
        user_id = self.caller.check_user(self.user_id)
        if is_blank(check_text(self.message, "message")):
            raise InvalidMessage("message must not be empty.")
        if len(self.message) > settings.FABRA_MESSAGE_MAX_CHARS:
            raise MessageTooLong(f"message must have at most {settings.FABRA_MESSAGE_MAX_CHARS} characters.")
        bot = self.caller.check_bot(self.bot)
        if self.context:
            chat_context(self.caller.check_context(self.context))
        return replace(self, user_id=user_id, bot=bot)

    def check_bot(self, bot: BotConfig) -> str:
        """Return the context that a bot answers from; raise ContextForbidden, or NotFound for the context."""
        context = self.caller.check_context(self.context, bot.context)
        if context:
            chat_context(context)
        return context

    def asked_of(self, bot: BotConfig) -> "Question":
        """Return the question with what a bot answers from; raise as `check_bot`."""
        context = self.check_bot(bot)
        return replace(self, bot=bot.slug, context=context, index=bot.index, model=bot.model)


@dataclass(frozen=True, kw_only=True)
class Answer:
    response: str
    context_used: str
    context_id: str | None
    """None for what no context was assembled for."""
    conversation_id: int
    message_id: int | None = None
    """The id of the answer's message; None until it is stored."""
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
    state: str = Conversation.State.BOT
    """The conversation's state when the answer was stored: who answers in it."""
    notices: list[str] = field(default_factory=list)
    """The lines that tell what changed with this message, such as that a person was asked."""
    conversation_was_closed: bool = False
    """Whether the message was sent to a closed conversation, and so began this one."""
    question_id: int | None = None
    """The id of the user's message, where it is stored together with its answer."""
    is_dropped: bool = False
    """Whether a person took over, or closed the conversation, while the bot was answering.

    What was streamed of its answer is not kept.
    """

    @classmethod
    def without_model(cls, *, response: str = "", flags: Sequence[str] = (), **more: Any) -> "Answer":
        """Return the answer to a message that no model was asked for."""
        return cls(
            response=response, context_used="", context_id=more.pop("context_id", None), citations=[], usage={},
            model="", is_extractive=False, flags=list(flags), freshness=None, **more,
        )  # fmt: skip

    @property
    def status(self) -> int:
        """The HTTP status: 202 where a person answers, later, or the bot after a person who came and left meanwhile."""
        is_for_later = self.state == Conversation.State.PERSON or self.is_dropped
        return 202 if is_for_later and self.state != Conversation.State.CLOSED and not self.response else 200

    def link_absolutely(self, request: Asked) -> "Answer":
        """Return the answer for a client that is no page of this site."""
        return replace(self, citations=link_absolutely(self.citations, request))

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
            "state": self.state,
            **({"notices": self.notices} if self.notices else {}),
            **({"conversation_was_closed": True} if self.conversation_was_closed else {}),
            **({"notice": notice_of(self.flags)} if self.is_extractive else {}),
        }

    def to_customer_dict(self) -> dict[str, Any]:
        """Return what a customer's browser may get of the answer."""
        return {name: value for name, value in self.to_dict().items() if name not in OPERATOR_FIELDS}


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A message whose answer is known without a model: a person answers it, or it was answered before."""

    answer: Answer
    admission: Admission


@dataclass(kw_only=True, eq=False)
class Turn:
    """The state of one message while it is answered."""

    question: Question
    admission: Admission
    provider: Provider
    context: Context
    history: ConversationHistory
    """What was said before the question."""
    deadline: float
    """By the event loop's clock, in seconds."""
    message: Message
    """The user's message."""
    lease: ConversationLease
    """The message's lease of its conversation, which has an id by now."""
    reservation: BudgetReservation | None = None
    """The reservation of what the answer may cost, until it is settled."""
    calls: list[ModelCall] = field(default_factory=list)
    """The calls of models whose rows are not written yet."""
    result: Answer | None = None
    """The answer, from when it is being stored."""
    notices: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
    parts: list[str] = field(default_factory=list)
    stopping: Stopping = field(default_factory=Stopping)

    def __post_init__(self) -> None:
        weakref.finalize(self, self.stopping.end)  # of a turn that nobody runs, too

    @property
    def is_stopped(self) -> bool:
        return self.stopping.is_stopped

    def stop(self) -> None:
        """End the answer with what was received; call it in the turn's loop."""
        self.stopping.stop()

    async def receive(self, pieces: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
        """Yield the pieces until the turn is stopped; raise DeadlineExceeded.

        The timeout is around the wait for a piece only: it must not interrupt whoever works on the last one.
        """
        while not self.is_stopped:
            try:
                async with asyncio.timeout_at(self.deadline) as self.stopping.wait:
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                if self.is_stopped:
                    return
                raise DeadlineExceeded from error
            finally:
                self.stopping.wait = None
            yield piece

    @property
    def context_id(self) -> str:
        return self.context.id

    @property
    def conversation_id(self) -> int:
        return self.message.conversation.pk

    @property
    def spender(self) -> Spender:
        return Spender(
            user_id=self.question.user_id, tier=self.admission.tier, key=self.question.caller.key,
            context=self.context.evidence["context"], trace_id=self.context.id,
        )  # fmt: skip

    @property
    def wants_no_answer(self) -> bool:
        """Return whether the context's function asked for a person, and gave the bot nothing to answer from."""
        return self.context.escalation is not None and not self.context.items

    def elapsed_ms(self) -> float:
        return round((time.perf_counter() - self.started) * 1000, 3)
