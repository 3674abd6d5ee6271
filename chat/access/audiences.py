"""What documents a user may find: those of their groups, and of the audiences that FABRA_AUDIENCES names."""

import logging
from collections.abc import Iterable

from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils.module_loading import import_string

logger = logging.getLogger(__name__)


def audiences_of(user_id: str) -> list[str]:
    """Return the names of the groups of the active Django user of that name, and what FABRA_AUDIENCES says of them.

    Somebody else, such as a visitor, has none. If the function fails, the groups remain: what is found is then less,
    and nothing that the user may not read.
    """
    model = get_user_model()
    user = model._default_manager.filter(**{model.USERNAME_FIELD: user_id}).first()
    if user is None or not user.is_active:  # which is no column of every user model
        return []
    names = list(user.groups.values_list("name", flat=True)) if hasattr(user, "groups") else []
    if not settings.FABRA_AUDIENCES:
        return names
    try:
        found: Iterable[str] = import_string(settings.FABRA_AUDIENCES)(user)
        return [*names, *map(str, [found] if isinstance(found, str) else found or ())]
    except Exception:  # it is the team's own
        logger.exception("FABRA_AUDIENCES failed; the user finds what is for their groups.")
        return names
