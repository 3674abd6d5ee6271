"""`from fabra.context import context, Context, ContextItem, ConversationHistory`"""

from contexts.conversation import ConversationHistory
from contexts.declaration import context
from contexts.items import Context, ContextItem

__all__ = ["Context", "ContextItem", "ConversationHistory", "context"]
