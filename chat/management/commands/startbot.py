import keyword
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import ENVIRONMENT_VARIABLE, settings
from django.core.management.base import CommandError
from django.core.management.commands.startapp import Command as StartApp

_OWN_STEPS = """\
  export FABRA_APPS={name} FABRA_CHAT_CONTEXT={name}_context FABRA_DEFAULT_INDEX={name} FABRA_SAMPLE=0
  make up
and, while it runs, in another terminal with the same variables:
  .venv/bin/python manage.py loaddata articles --app {name}
  .venv/bin/python manage.py sync_models
  .venv/bin/python manage.py evaluate --index {name} --import {golden}
  make test ARGS={name}"""
_HOST_STEPS = """\
  in your settings: INSTALLED_APPS += ["{name}"]
                    FABRA_CHAT_CONTEXT, FABRA_DEFAULT_INDEX = "{name}_context", "{name}"
  python manage.py migrate
  python manage.py loaddata articles --app {name}
  python manage.py sync_models
  python manage.py evaluate --index {name} --import {golden}
  uvicorn {project}.asgi:application
  pip install pytest pytest-django
  DJANGO_SETTINGS_MODULE={settings} pytest {name}"""
"""In another project, which has the apps and no Makefile of this one."""
TEMPLATE = Path(__file__).resolve().parents[2] / "bot_template"


class Command(StartApp):
    help = (
        "Make an app with a bot of its own: models, an index of them, features, a context, golden questions, and tests "
        "that pass. It needs no running stack."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(template=str(TEMPLATE), extensions=["py", "json"])

    @staticmethod
    def _golden(name: str, options: dict[str, Any]) -> str:
        return f"{options['directory'] or name}/golden.json"

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        if keyword.iskeyword(name):
            raise CommandError(f"{name!r} is a word of Python, which no module can have for its name; choose another.")
        super().handle(**options)
        steps = _OWN_STEPS if settings.FABRA_OWN_PROJECT else _HOST_STEPS
        self.stdout.write(
            f"Made {name}. Go on with:\n"
            + steps.format(
                name=name,
                golden=self._golden(name, options),
                settings=os.environ[ENVIRONMENT_VARIABLE],
                project=settings.ROOT_URLCONF.partition(".")[0],
            )
        )
