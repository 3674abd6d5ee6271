"""The errors of a chat; see common.errors for the root classes."""

from chat.limits.admission import Admission
from common.errors import FabraError, InvalidInput, NotFound, Unavailable


class InvalidMessage(InvalidInput):
    """The message cannot be answered."""

    code = "invalid_message"


class MessageTooLong(InvalidInput):
    """The message is longer than the limit."""

    code = "message_too_long"


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


class AddressForbidden(KeyForbidden):
    """The API key may not be used from this address."""

    code = "address_forbidden"


class ConversationNotFound(NotFound):
    """The user has no conversation of this id."""

    code = "conversation_not_found"


class ConversationConflict(FabraError):
    """The conversation's state does not allow this."""

    code = "conversation_state"


class ConversationHeld(ConversationConflict):
    """Another person holds the conversation."""


class AgentForbidden(FabraError):
    """You may not answer customers; a conversation that you held waits for somebody else now."""

    code = "agent_forbidden"


class RateLimited(FabraError):
    """The user, their address or the API key has sent as many messages as are allowed for now."""

    code = "rate_limited"

    def __init__(self, admission: Admission) -> None:
        super().__init__(
            f"The limit of {admission.limit} {admission.what} is reached;"
            f" try again in {admission.retry_after_s} seconds."
        )
        self.admission = admission


class DeadlineExceeded(Unavailable):
    """The answer took longer than the request's deadline."""

    code = "deadline_exceeded"


class ModelError(Unavailable):
    """The language model failed."""

    code = "model_failed"
    status: int | None = None
    """The HTTP status of the model's server, if it answered with an error."""
    why = ""
    """What the server called its error; for the operator, not for clients."""
    may_retry = False
    """Whether the same request may succeed a little later."""
    retry_after_s: float | None = None
    """After how long the server wants to be asked again."""
    is_of_request = False
    """Whether this request cannot be answered, while others may be."""


class ModelTimeout(ModelError):
    """The language model did not answer in time."""

    code = "model_timeout"


class ModelUnreachable(ModelError):
    """The language model's server cannot be reached."""

    code = "model_unreachable"


class ModelRefused(ModelError):
    """The language model's server refused the request; its key, model name or quota may be wrong."""

    code = "model_refused"
