"""What a Django project of its own adds to its settings to have the bot in it: `from fabra.settings import *`."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.utils import DEFAULT_DB_ALIAS

_PACKAGES = ("common", "events", "features", "retrieval", "contexts", "chat")
_APPS = [
    # Behind `django.contrib.admin`, and without Unfold's own configuration, the project's admin keeps its look.
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    *_PACKAGES,
]
BOT_MIDDLEWARE = ["chat.serving.middleware.bot_pages"]
"""What the bot's own pages need, and no other page gets: `MIDDLEWARE += BOT_MIDDLEWARE`."""


class BotRouter:
    """Keeps the bot in the default database: `DATABASE_ROUTERS = ["fabra.hosting.BotRouter", ...]`, the first of them.

    Its tables need PostgreSQL, and some of its statements name no model that another router could know them by.
    """

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return DEFAULT_DB_ALIAS if model._meta.app_label in _PACKAGES else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return db == DEFAULT_DB_ALIAS if app_label in _PACKAGES else None


def bot_apps(installed: Sequence[str]) -> list[str]:
    """Return the apps that a project lacks: `INSTALLED_APPS += bot_apps(INSTALLED_APPS)`.

    Raise ImproperlyConfigured where a package of the project hides one of the bot's.
    """
    for name in _PACKAGES:
        _require_own(name)
    present = {_package(entry) for entry in installed}
    return [entry for entry in _APPS if _package(entry) not in present]


def _package(entry: str) -> str:
    """Return the app of an entry of INSTALLED_APPS, which may name the class of its configuration."""
    return entry.partition(".apps.")[0]


def _require_own(name: str) -> None:
    """Raise ImproperlyConfigured if `import name` finds another package than the one that came with this module."""
    home = Path(__file__).resolve().parent.parent
    spec = find_spec(name)
    found = Path(spec.origin).resolve().parent if spec and spec.origin else None
    if found is None and spec and spec.submodule_search_locations:  # a folder without __init__.py
        found = Path(next(iter(spec.submodule_search_locations))).resolve()
    if found != home / name:
        raise ImproperlyConfigured(
            f"The bot's package `{name}` is hidden by {found or 'nothing that can be imported'}: rename that package, "
            f"for example to `my_{name}`, or run the bot as a project "
            "of its own beside yours (docs/inside-your-project.md)."
        )
