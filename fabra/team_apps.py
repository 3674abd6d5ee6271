"""The apps that FABRA_APPS adds to the project."""

from django.apps import AppConfig, apps
from django.conf import settings


def team_apps() -> list[AppConfig]:
    """Return the apps in the order of FABRA_APPS, whose entries name an app or its configuration's class."""
    found = []
    for entry in getattr(settings, "FABRA_APPS", []):
        found += [config for config in apps.get_app_configs() if entry in (config.name, _path(config))]
    return found


def _path(config: AppConfig) -> str:
    return f"{type(config).__module__}.{type(config).__qualname__}"
