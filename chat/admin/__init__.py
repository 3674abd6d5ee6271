"""The admin of the support bot."""

from chat.admin import (
    audit,
    bots,
    conversations,
    customers,
    feedback,
    gaps,
    handover,
    keys,
    limits,
    providers,
    sign_ins,
    signing,
    spending,
    users,
)

__all__ = [
    "audit",
    "bots",
    "conversations",
    "customers",
    "feedback",
    "gaps",
    "handover",
    "keys",
    "limits",
    "providers",
    "sign_ins",
    "signing",
    "spending",
    "users",
]
