"""The admin of the support bot."""

from chat.admin import conversations, customers, feedback, gaps, handover, keys, sign_ins, signing, users

__all__ = ["conversations", "customers", "feedback", "gaps", "handover", "keys", "sign_ins", "signing", "users"]
