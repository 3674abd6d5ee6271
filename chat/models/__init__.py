"""Tables of the support bot: its customers, conversations, API keys, and what limits count while Redis is down."""

from chat.models.conversations import Conversation, Message
from chat.models.customers import Customer, Ticket
from chat.models.handover import HandoverSettings, SupportHours
from chat.models.keys import ApiKey, GrantedPermission
from chat.models.limits import CountedRequest, Reservation

__all__ = [
    "ApiKey",
    "Conversation",
    "CountedRequest",
    "Customer",
    "GrantedPermission",
    "HandoverSettings",
    "Message",
    "Reservation",
    "SupportHours",
    "Ticket",
]
