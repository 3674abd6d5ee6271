"""The configuration of the bot's apps, which says what to do where a project has an app of the same label."""

from typing import Any

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured


class BotAppConfig(AppConfig):
    """Refuse a label that an app before it has, with more to go by than Django's own refusal, which would follow.

    Import the module, not the class: Django takes a lone configuration in an `apps.py` for the app's.
    """

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
