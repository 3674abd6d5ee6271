"""Tables of the support bot: customers, conversations, feedback and gaps, API keys, limits without
Redis, and language models."""

from chat.models.conversations import Conversation, ConversationSummary, Message
from chat.models.customers import Customer, Ticket
from chat.models.feedback import Feedback
from chat.models.gaps import Gap, GapQuestion
from chat.models.handover import HandoverSettings, SupportHours
from chat.models.keys import ApiKey, GrantedPermission
from chat.models.limits import CountedRequest, Reservation, ReservedCost
from chat.models.model_calls import CostKind, ModelCall, Purpose, SpendingDay
from chat.models.providers import ModelProvider

__all__ = [
    "ApiKey",
    "Conversation",
    "ConversationSummary",
    "CostKind",
    "CountedRequest",
    "Customer",
    "Feedback",
    "Gap",
    "GapQuestion",
    "GrantedPermission",
    "HandoverSettings",
    "Message",
    "ModelCall",
    "ModelProvider",
    "Purpose",
    "Reservation",
    "ReservedCost",
    "SpendingDay",
    "SupportHours",
    "Ticket",
]
