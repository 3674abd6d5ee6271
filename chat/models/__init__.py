"""Tables of the support bot: customers, conversations, feedback and gaps, API keys, and limits without Redis."""

from chat.models.audit import AuditEntry
from chat.models.conversations import Conversation, ConversationSummary, Message
from chat.models.customers import Customer, Ticket
from chat.models.feedback import Feedback
from chat.models.gaps import Gap, GapQuestion
from chat.models.handover import HandoverSettings, SupportHours
from chat.models.keys import ApiKey, GrantedPermission, KeyUse
from chat.models.limits import CountedRequest, Reservation

__all__ = [
    "ApiKey",
    "AuditEntry",
    "Conversation",
    "ConversationSummary",
    "CountedRequest",
    "Customer",
    "Feedback",
    "Gap",
    "GapQuestion",
    "GrantedPermission",
    "HandoverSettings",
    "KeyUse",
    "Message",
    "Reservation",
    "SupportHours",
    "Ticket",
]
