"""What the bot's views need of a project whose settings say otherwise."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import connections, transaction


def open_to_everyone(patterns: Sequence[Any]) -> Sequence[Any]:
    """Return URL patterns whose views say themselves who may ask, also where LoginRequiredMiddleware guards a site."""
    for pattern in patterns:
        login_not_required(pattern.callback)
    return patterns


def with_own_transactions(patterns: Sequence[Any]) -> Sequence[Any]:
    """Return URL patterns whose views say themselves what is one transaction, whatever ATOMIC_REQUESTS says.

    Django refuses to run an asynchronous view in a transaction, and an answer takes as long as its model does.
    """
    for pattern in patterns:
        for alias in connections:
            transaction.non_atomic_requests(alias)(pattern.callback)
    return patterns
