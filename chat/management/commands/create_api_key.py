from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from chat.models import ApiKey
from common.client_address import parse_network
from common.durations import parse_duration
from common.errors import DefinitionError, FabraError
from common.validation import check_identity
from retrieval.indexing.document_input import check_index_name


class Command(BaseCommand):
    help = "Make an API key and print it, once."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("name")
        parser.add_argument(
            "--scope", action="append", required=True, choices=ApiKey.Scope.values, help="Repeat it for several."
        )
        parser.add_argument("--expires", default=None, help='How long it is valid, such as "90d". Default: for ever.')
        parser.add_argument("--owner", default=None, help="The key may do no more than this user, by user name.")
        parser.add_argument("--index", action="append", default=[], help="Bind it to an index; repeat it for several.")
        parser.add_argument("--user", action="append", default=[], help="Bind it to a user_id.")
        parser.add_argument("--address", action="append", default=[], help="Bind it to an address or a CIDR.")
        parser.add_argument("--per-minute", type=int, default=None, help="Its own limit of requests a minute.")
        parser.add_argument("--per-day", type=int, default=None, help="Its own limit of requests a day.")

    def handle(self, *args: Any, name: str, scope: list[str], expires: str | None, **options: Any) -> None:
        try:
            lifetime: timedelta | None = parse_duration(expires, "--expires")
        except DefinitionError as error:
            raise CommandError(str(error)) from error
        expires_at = timezone.now() + lifetime if lifetime else None
        _, key = ApiKey.make(name, sorted(set(scope)), expires_at, **_bounds(options))
        self.stdout.write(key)


def _bounds(options: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that the options ask for; raise CommandError."""
    try:
        bounds: dict[str, Any] = {
            "indexes": [check_index_name(index, "--index") for index in options["index"]],
            "users": [check_identity(user, "--user") for user in options["user"]],
            "networks": [str(parse_network(address)) for address in options["address"]],
        }
    except (FabraError, ValueError) as error:
        raise CommandError(str(error)) from error
    for name in ("per_minute", "per_day"):
        if (limit := options[name]) is not None and limit < 1:
            raise CommandError(f"--{name.replace('_', '-')} must be at least 1.")
        bounds[name] = limit
    if options["owner"] is not None:
        bounds["owner"] = get_user_model().objects.filter(username=options["owner"]).first()
        if bounds["owner"] is None:
            raise CommandError(f"There is no user {options['owner']!r}.")
    return bounds
