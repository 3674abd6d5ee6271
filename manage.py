#!/usr/bin/env python
"""Run Django's administrative commands for the project."""

import os
import sys

# These need neither PostgreSQL nor Redis; for any other, FABRA_WITHOUT_STACK=1 in the environment says the same.
WITHOUT_STACK = {
    "check", "compilemessages", "diffsettings", "help", "makemessages", "makemigrations", "prepare_assets",
    "spectacular", "startapp", "startbot", "version",
}  # fmt: skip


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fabra_project.settings")
    if can_do_without_stack(sys.argv[1:]):
        os.environ.setdefault("FABRA_WITHOUT_STACK", "1")
    if sys.argv[1:2] in (["startapp"], ["startbot"]):
        os.environ["FABRA_APPS"] = ""  # which may name the app that is about to be made
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    try:
        settings.DATABASES  # noqa: B018 (without a running stack a sentence says what to do, not a traceback)
    except ImproperlyConfigured as error:
        sys.exit(str(error))
    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        if settings.DATABASE_URL:
            raise
        sys.exit(str(error))  # no running stack, after all


def can_do_without_stack(words: list[str]) -> bool:
    return not words or words[0] in WITHOUT_STACK or not {"-h", "--help", "--version"}.isdisjoint(words)


if __name__ == "__main__":
    main()
