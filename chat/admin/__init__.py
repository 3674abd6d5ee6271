"""The admin of the support bot."""

from chat.admin import (
    audit,
    conversations,
    customers,
    feedback,
    gaps,
    handover,
    keys,
    providers,
    sign_ins,
    signing,
    spending,
    users,
)

__all__ = [
    "audit",
    "conversations",
    "customers",
    "feedback",
    "gaps",
    "handover",
    "keys",
    "providers",
    "sign_ins",
    "signing",
    "spending",
    "users",
]
