"""Tables of the support bot: its customers, conversations, API keys, and what limits count while Redis is down."""

from chat.models.conversations import Conversation, ConversationSummary, Message
from chat.models.customers import Customer, Ticket
from chat.models.keys import ApiKey, GrantedPermission
from chat.models.limits import CountedRequest, Reservation

__all__ = [
    "ApiKey",
    "Conversation",
    "ConversationSummary",
    "CountedRequest",
    "Customer",
    "GrantedPermission",
    "Message",
    "Reservation",
    "Ticket",
]
