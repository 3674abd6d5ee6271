"""Tables of the support bot: bots, customers, conversations, feedback, gaps, phrases, keys, users of sites, models,
limits.
"""

from chat.models.audit import AuditEntry
from chat.models.bots import DEFAULT_BOT, Bot
from chat.models.conversations import Conversation, ConversationSummary, Message
from chat.models.customers import Customer, Ticket
from chat.models.feedback import Feedback
from chat.models.gaps import Gap, GapQuestion
from chat.models.handover import ClosedDay, HandoverSettings, SupportHours
from chat.models.idempotency import IdempotentRequest
from chat.models.keys import ApiKey, GrantedPermission, KeyUse
from chat.models.limits import CountedRequest, LimitSettings, Reservation, ReservedCost, TierLimit
from chat.models.model_calls import CostKind, ModelCall, Purpose, SpendingDay
from chat.models.phrases import LanguagePhrases
from chat.models.providers import ModelProvider
from chat.models.sample import SampleState
from chat.models.visitors import JoinedVisitor, UserSigning

__all__ = [
    "DEFAULT_BOT",
    "ApiKey",
    "AuditEntry",
    "Bot",
    "ClosedDay",
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
    "IdempotentRequest",
    "JoinedVisitor",
    "KeyUse",
    "LanguagePhrases",
    "LimitSettings",
    "Message",
    "ModelCall",
    "ModelProvider",
    "Purpose",
    "Reservation",
    "ReservedCost",
    "SampleState",
    "SpendingDay",
    "SupportHours",
    "Ticket",
    "TierLimit",
    "UserSigning",
]
