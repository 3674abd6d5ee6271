"""The admin of the support bot."""

from django.conf import settings

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
    phrases,
    providers,
    signing,
    spending,
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
    "phrases",
    "providers",
    "signing",
    "spending",
]

if settings.FABRA_OWN_PROJECT:  # any other project has users and sign-ins in its own admin
    from chat.admin import sign_ins, users

    __all__ += ["sign_ins", "users"]
