"""`from fabra.context import context, Context, ContextItem, ConversationHistory, escalate`"""

from fabra.standalone import ensure_django, load_team_definitions

ensure_django()

from contexts.conversation import ConversationHistory  # noqa: E402 (Django is set up first)
from contexts.declaration import context  # noqa: E402 (Django is set up first)
from contexts.items import Context, ContextItem, Escalation, escalate  # noqa: E402 (Django is set up first)

__all__ = ["Context", "ContextItem", "ConversationHistory", "Escalation", "context", "escalate"]

load_team_definitions()
