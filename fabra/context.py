"""`from fabra.context import context, Context, ContextItem, ConversationHistory, escalate`"""

from contexts.conversation import ConversationHistory
from contexts.declaration import context
from contexts.items import Context, ContextItem, Escalation, escalate

__all__ = ["Context", "ContextItem", "ConversationHistory", "Escalation", "context", "escalate"]
