"""Tables of the support bot: customers, conversations, feedback, gaps, keys, users of sites, limits without Redis."""

from chat.models.audit import AuditEntry
from chat.models.conversations import Conversation, ConversationSummary, Message
from chat.models.customers import Customer, Ticket
from chat.models.feedback import Feedback
from chat.models.gaps import Gap, GapQuestion
from chat.models.handover import HandoverSettings, SupportHours
from chat.models.idempotency import IdempotentRequest
from chat.models.keys import ApiKey, GrantedPermission, KeyUse
from chat.models.limits import CountedRequest, Reservation
from chat.models.sample import SampleState
from chat.models.visitors import JoinedVisitor, UserSigning

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
    "IdempotentRequest",
    "JoinedVisitor",
    "KeyUse",
    "Message",
    "Reservation",
    "SampleState",
    "SupportHours",
    "Ticket",
    "UserSigning",
]
