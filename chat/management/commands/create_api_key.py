from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from chat.models import ApiKey
from common.durations import parse_duration
from common.errors import DefinitionError


class Command(BaseCommand):
    help = "Make an API key and print it, once."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("name")
        parser.add_argument(
            "--scope", action="append", required=True, choices=ApiKey.Scope.values, help="Repeat it for several."
        )
        parser.add_argument("--expires", default=None, help='How long it is valid, such as "90d". Default: for ever.')

    def handle(self, *args: Any, name: str, scope: list[str], expires: str | None, **options: Any) -> None:
        try:
            lifetime: timedelta | None = parse_duration(expires, "--expires")
        except DefinitionError as error:
            raise CommandError(str(error)) from error
        _, key = ApiKey.make(name, sorted(set(scope)), timezone.now() + lifetime if lifetime else None)
        self.stdout.write(key)
