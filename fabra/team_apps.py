"""The apps that FABRA_APPS adds to the project."""

from django.apps import AppConfig, apps
from django.conf import settings


def team_apps() -> list[AppConfig]:
    """Return the apps in the order of FABRA_APPS, whose entries name an app or its configuration's class."""
    found = []
    for entry in getattr(settings, "FABRA_APPS", []):
        found += [
            config for config in apps.get_app_configs() if entry == config.name or entry.startswith(f"{config.name}.")
        ]
    return found
