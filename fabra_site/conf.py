"""The site's setting `SUPPORT_CHAT`.

`BOT_URL`, `PUBLIC_KEY` and `SIGNING_SECRET` are texts. `USER_ID` and `TRAITS` may name functions of a user: the id that
the bot knows them by (default: the primary key), and what else it shall know.
"""

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

NAME = "SUPPORT_CHAT"


def setting(name: str) -> str:
    """Return a text that must be set; raise ImproperlyConfigured."""
    value = getattr(settings, NAME, {}).get(name)
    if not value:
        raise ImproperlyConfigured(f"Set {NAME}[{name!r}].")
    return str(value)


def called(name: str, user: Any) -> Any:
    """Return what the function that the setting names says of a user; None without one."""
    path = getattr(settings, NAME, {}).get(name)
    return import_string(path)(user) if path else None
