"""The admin of the support bot."""

from chat.admin import conversations, customers, keys, sign_ins, users

__all__ = ["conversations", "customers", "keys", "sign_ins", "users"]
