"""The errors of a chat; see common.errors for the root classes."""

import math
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from common.errors import FabraError, InvalidInput, NotFound, Unavailable


class BudgetLimit(Protocol):
    """A budget as far as its error describes it; see chat.cost_budgets.budget."""

    @property
    def scope(self) -> str: ...

    @property
    def period(self) -> str: ...

    @property
    def resets_at(self) -> datetime: ...


class InvalidMessage(InvalidInput):
    """The message cannot be answered."""

    code = "invalid_message"


class MessageTooLong(InvalidInput):
    """The message is longer than the limit."""

    code = "message_too_long"


class InvalidCursor(InvalidInput):
    """cursor is not one that this list gave; leave it out to begin again."""

    code = "invalid_cursor"


class KeyForbidden(FabraError):
    """The API key is bound to something else."""

    code = "key_forbidden"


class IndexForbidden(KeyForbidden):
    """The API key may not use this index."""

    code = "index_forbidden"


class ContextForbidden(KeyForbidden):
    """The API key may not use this context."""

    code = "context_forbidden"


class UserForbidden(KeyForbidden):
    """The API key may not act for this user."""

    code = "user_forbidden"


class BotForbidden(KeyForbidden):
    """The API key may not use this bot."""

    code = "bot_forbidden"


class AddressForbidden(KeyForbidden):
    """The API key may not be used from this address."""

    code = "address_forbidden"


class OriginForbidden(KeyForbidden):
    """The public key may not be used by pages of this site."""

    code = "origin_forbidden"


class UserTokenRefused(FabraError):
    """The site's token does not name its user."""

    code = "user_token_invalid"


class UserTokenExpired(UserTokenRefused):
    """The site's token has expired; get a new one from the site."""

    code = "user_token_expired"


class UserTokenMissing(UserTokenRefused):
    """A public key acts only for the user whom its site has signed; send the token as `X-Fabra-User`."""

    code = "user_token_missing"


class SessionEnded(UserTokenRefused):
    """The session of the embedded chat has ended; begin a new one."""

    code = "session_ended"


class BotNotFound(NotFound):
    """There is no bot of this name, or it is switched off."""

    code = "bot_not_found"


class ConversationNotFound(NotFound):
    """The user has no conversation of this id."""

    code = "conversation_not_found"


class ConversationConflict(FabraError):
    """The conversation's state does not allow this."""

    code = "conversation_state"


class ConversationClosed(ConversationConflict):
    """The conversation is closed and stays so; the customer's next message begins a new one."""


class StillAnswering(ConversationConflict):
    """A question of the visitor is being answered; their conversations can be joined to the user after it."""

    code = "still_answering"


class ConversationHeld(ConversationConflict):
    """Another person holds the conversation."""


class HandoverOff(ConversationConflict):
    """No person can join this conversation."""

    code = "handover_off"


class InvalidAgent(InvalidInput):
    """There is no such person, or they may not answer customers."""

    code = "invalid_agent"


class AgentForbidden(FabraError):
    """You may not answer customers; a conversation that you held waits for somebody else now."""

    code = "agent_forbidden"


class IdempotencyKeyInvalid(InvalidInput):
    """Idempotency-Key must be 1 to 255 visible ASCII characters, such as a UUID, sent once."""

    code = "idempotency_key_invalid"


class IdempotencyKeyUnsupported(InvalidInput):
    """This endpoint takes no Idempotency-Key: what it is sent can be sent again as it is."""

    code = "idempotency_key_unsupported"


class IdempotencyKeyReused(InvalidInput):
    """This Idempotency-Key was sent with another request: a new request needs a new key."""

    code = "idempotency_key_reused"


class AnswerErased(FabraError):
    """The answer quoted a document that was purged, and is not kept any more: ask again with a new Idempotency-Key."""

    code = "answer_erased"


class IdempotencyInProgress(FabraError):
    """The first request with this Idempotency-Key is still being answered; send it again in a moment."""

    code = "idempotency_in_progress"
    retry_after_s = 2


class BulkBusy(Unavailable):
    """This process works on as many bulk requests as it may; send it again in a while."""

    code = "bulk_busy"


class CostBudgetExhausted(Unavailable):
    """The budget for answers is used up."""

    code = "budget_exhausted"

    def __init__(self, budgets: Sequence[BudgetLimit]) -> None:
        self.budget = max(budgets, key=lambda budget: budget.resets_at)
        """The one that begins anew last, of those that refuse the call."""
        super().__init__(
            f"The budget for answers is used up; it begins anew at {self.budget.resets_at:%Y-%m-%d %H:%M} UTC."
        )

    @property
    def retry_after_s(self) -> int:
        return max(1, math.ceil(self.budget.resets_at.timestamp() - time.time()))


class DeadlineExceeded(Unavailable):
    """The answer took longer than the request's deadline."""

    code = "deadline_exceeded"


class ModelError(Unavailable):
    """The language model failed."""

    code = "model_failed"
    status: int | None = None
    """The HTTP status of the model's server, if it answered with an error."""
    why = ""
    """What the server called its error, or what was wrong with its answer; for the operator, not for clients."""
    may_retry = False
    """Whether the same request may succeed a little later."""
    retry_after_s: float | None = None
    """After how long the server wants to be asked again."""
    is_of_request = False
    """Whether this request cannot be answered, while others may be."""
    usage: dict[str, int] | None = None
    """The tokens that the server reported all the same, and bills."""
    answered_model = ""
    """What the server called the model that failed."""

    def for_operator(self) -> str:
        """Return its code, with the status and the reason, as far as they are known."""
        status = f" {self.status}" if self.status else ""
        return f"{self.code}{status}{f': {self.why}' if self.why else ''}"


class ModelTimeout(ModelError):
    """The language model did not answer in time."""

    code = "model_timeout"


class ModelUnreachable(ModelError):
    """The language model's server cannot be reached."""

    code = "model_unreachable"


class ModelRefused(ModelError):
    """The language model's server refused the request; its key, model name or quota may be wrong."""

    code = "model_refused"
