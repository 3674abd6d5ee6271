"""The admin of the support bot."""

from chat.admin import conversations, customers, keys, users

__all__ = ["conversations", "customers", "keys", "users"]
