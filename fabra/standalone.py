"""Let a plain script use the running stack: set Django up when nobody has, then load the team's own definitions."""

import os
import socket
import sys
from urllib.parse import urlsplit

_is_script = False
"""Whether Django was set up here, and the definitions of FABRA_APPS are still to be loaded."""

_HINT = "run `make up` in the project folder, or set DATABASE_URL and REDIS_URL to servers of your own."


def ensure_django() -> None:
    """Set Django up for a script, without discovering or mirroring definitions; exit if no stack runs."""
    global _is_script
    from django.conf import settings

    if settings.configured:
        return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fabra_project.settings")
    os.environ["FABRA_STANDALONE"] = "1"
    import django
    from django.core.exceptions import ImproperlyConfigured

    try:
        _require_server(settings.DATABASE_URL, "PostgreSQL", 5432)
        _require_server(settings.REDIS_URL, "Redis", 6379)
    except ImproperlyConfigured as error:
        sys.exit(str(error))
    django.setup()
    _is_script = True


def load_team_definitions() -> None:
    """Load the definitions of FABRA_APPS in a script, whose saves make events and recompute features by them.

    They import from `fabra`, so that the module that set Django up calls this once its names are there. The sample
    bot's stay out: its names would clash with the script's own.
    """
    global _is_script
    if _is_script:
        _is_script = False
        from contexts.discovery import load_definitions_of
        from fabra.team_apps import team_apps

        load_definitions_of([config.name for config in team_apps()])


def _require_server(url: str, name: str, default_port: int) -> None:
    parts = urlsplit(url)
    if not parts.hostname:  # a unix socket
        return
    try:
        socket.create_connection((parts.hostname, parts.port or default_port), timeout=3).close()
    except OSError:
        sys.exit(f"{name} does not answer at {parts.hostname}:{parts.port or default_port}: {_HINT}")
