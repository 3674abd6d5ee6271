"""`from fabra.context import context, Context, ContextItem`"""

from contexts.declaration import context
from contexts.items import Context, ContextItem

__all__ = ["Context", "ContextItem", "context"]
