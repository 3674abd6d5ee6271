"""The admin of the support bot."""

from chat.admin import audit, conversations, customers, feedback, gaps, handover, keys, sign_ins, signing, users

__all__ = [
    "audit",
    "conversations",
    "customers",
    "feedback",
    "gaps",
    "handover",
    "keys",
    "sign_ins",
    "signing",
    "users",
]
