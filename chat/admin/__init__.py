"""The admin of the support bot."""

from chat.admin import conversations, customers, feedback, gaps, handover, keys, providers, sign_ins, spending, users

__all__ = [
    "conversations",
    "customers",
    "feedback",
    "gaps",
    "handover",
    "keys",
    "providers",
    "sign_ins",
    "spending",
    "users",
]
