import keyword
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands.startapp import Command as StartApp

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
        self.stdout.write(
            f"Made {name}. Go on with:\n"
            f"  export FABRA_APPS={name} FABRA_CHAT_CONTEXT={name}_context FABRA_DEFAULT_INDEX={name} FABRA_SAMPLE=0\n"
            "  make up\n"
            "and, while it runs, in another terminal with the same variables:\n"
            f"  .venv/bin/python manage.py loaddata articles --app {name}\n"
            "  .venv/bin/python manage.py sync_models\n"
            f"  .venv/bin/python manage.py evaluate --index {name} --import {self._golden(name, options)}\n"
            f"  make test ARGS={name}"
        )
