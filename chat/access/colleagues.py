"""Who may answer customers, of all accounts."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend

from chat.access.permissions import ANSWER_CONVERSATION, may_open_inbox

_MOST = 200


def colleagues() -> list[Any]:
    """Return the users who may answer customers in the inbox, by their names; at most 200.

    Where a project's user model has no permissions of Django's, nobody is found, and each is named by hand.
    """
    users = get_user_model()
    if not hasattr(users, "user_permissions"):
        return []
    found = ModelBackend().with_perm(ANSWER_CONVERSATION, is_active=True, include_superusers=True)
    return [user for user in found.order_by(users.USERNAME_FIELD)[:_MOST] if may_open_inbox(user)]
