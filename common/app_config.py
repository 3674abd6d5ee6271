"""The configuration of the bot's apps: their labels, their keys, and what follows a migration."""

from collections.abc import Callable
from typing import Any

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, models
from django.db.models.signals import post_migrate

_NEEDED = ("common", "events", "features", "retrieval", "contexts", "chat", "django_celery_beat")


class BotAppConfig(AppConfig):
    """Refuse a label that an app before it has, with more to go by than Django's own refusal, which would follow.

    Import the module, not the class: Django takes a lone configuration in an `apps.py` for the app's.
    """

    default_auto_field = "django.db.models.BigAutoField"  # what the migrations have, whatever the project's default is

    def __init__(self, app_name: str, app_module: Any) -> None:
        super().__init__(app_name, app_module)
        taken = apps.app_configs.get(self.label)
        if taken is not None and taken.name != self.name:
            raise ImproperlyConfigured(
                f"Your app {taken.name} and the bot's have the label `{self.label}`. Give yours another one, "
                f'`label = "my_{self.label}"` in its AppConfig (its tables are named after it: set `db_table`, or '
                "rename them in a migration), or run the bot as a project of its own beside yours "
                "(docs/inside-your-project.md)."
            )

    def when_migrated(self, prepare: Callable[[], None]) -> None:
        """Call `prepare` after each `migrate` that leaves the bot's tables as its code has them.

        Django says so for every app after any `migrate`, of another app or another database too, and back to an
        earlier migration.
        """

        def follow(using: str, apps: Any = apps, **kwargs: Any) -> None:
            if using == DEFAULT_DB_ALIAS and _are_complete(apps):
                prepare()

        post_migrate.connect(follow, sender=self, weak=False, dispatch_uid=self.label)


def _are_complete(migrated: Any) -> bool:
    """Return whether the apps after a migration have each table and column of the code's."""
    return all(
        _columns(model) == _columns_of(migrated, model)
        for label in _NEEDED
        for model in apps.get_app_config(label).get_models()
    )


def _columns_of(migrated: Any, model: type[models.Model]) -> set[str | None]:
    try:
        return _columns(migrated.get_model(model._meta.app_label, model.__name__))
    except LookupError:
        return set()


def _columns(model: type[models.Model]) -> set[str | None]:
    return {field.column for field in model._meta.concrete_fields}
