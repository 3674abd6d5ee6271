from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from chat.access.key_rules import check_bot_name, check_context_name, problems_of
from chat.access.origins import check_origin
from chat.audit.entries import record_command
from chat.models import ApiKey
from common.client_address import parse_network
from common.durations import parse_duration
from common.errors import DefinitionError, FabraError
from common.validation import check_identity
from retrieval.indexing.document_input import check_index_name

_LEAST_USD, _MOST_USD = Decimal("0.0001"), Decimal(10_000_000)


class Command(BaseCommand):
    help = "Make an API key and print it, once."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("name")
        parser.add_argument(
            "--scope", action="append", required=True, choices=ApiKey.Scope.values, help="Repeat it for several."
        )
        parser.add_argument(
            "--public", action="store_true", help="For the pages of its --origin: it may only chat, and is no secret."
        )
        parser.add_argument("--expires", default=None, help='How long it is valid, such as "90d". Default: for ever.')
        parser.add_argument("--owner", default=None, help="The key may do no more than this user, by user name.")
        parser.add_argument("--index", action="append", default=[], help="Bind it to an index; repeat it for several.")
        parser.add_argument("--context", action="append", default=[], help="Bind it to a context of chats.")
        parser.add_argument("--bot", default="", help="Bind it to a bot, by its slug; a public key: the default.")
        parser.add_argument("--user", action="append", default=[], help="Bind it to a user_id.")
        parser.add_argument("--address", action="append", default=[], help="Bind it to an address or a CIDR.")
        parser.add_argument(
            "--origin", action="append", default=[], help="A site whose pages may use a public key: https://example.com"
        )
        parser.add_argument("--per-minute", type=int, default=None, help="Its own limit of requests a minute.")
        parser.add_argument("--per-day", type=int, default=None, help="Its own limit of requests a day.")
        parser.add_argument("--daily-budget", default=None, help="US dollars a day that models may cost.")
        parser.add_argument("--monthly-budget", default=None, help="US dollars a month that models may cost.")

    def handle(self, *args: Any, name: str, scope: list[str], expires: str | None, **options: Any) -> None:
        try:
            lifetime: timedelta | None = parse_duration(expires, "--expires")
        except DefinitionError as error:
            raise CommandError(str(error)) from error
        try:
            expires_at = timezone.now() + lifetime if lifetime else None
        except OverflowError:
            raise CommandError(f"--expires {expires} ends after the year 9999; leave it out for ever.") from None
        scopes, bounds = sorted(set(scope)), _bounds(options)
        has_limit = bool(bounds["per_minute"] or bounds["per_day"])
        given = {name: bounds[name] for name in ("kind", "origins", "contexts", "bot")}
        if problems := problems_of(scopes=scopes, has_limit=has_limit, **given):
            raise CommandError(" ".join(problems.values()))
        try:
            ApiKey(name=name, scopes=scopes, expires_at=expires_at, **bounds).clean_fields(exclude=("start", "digest"))
        except ValidationError as error:
            found = error.message_dict.items()
            raise CommandError(" ".join(f"{field}: {' '.join(texts)}" for field, texts in found)) from None
        row, key = ApiKey.make(name, scopes, expires_at, **bounds)
        record_command("create_api_key", "add", f"chat.apikey {row.pk}", f"{name}: {', '.join(scopes)}")
        self.stdout.write(key)


def _bounds(options: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that the options ask for; raise CommandError."""
    try:
        bounds: dict[str, Any] = {
            "kind": ApiKey.Kind.PUBLIC if options["public"] else ApiKey.Kind.SECRET,
            "bot": check_bot_name(options["bot"]),
            "contexts": [check_context_name(context) for context in options["context"]],
            "origins": [check_origin(origin) for origin in options["origin"]],
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
    for name in ("daily_budget", "monthly_budget"):
        bounds[f"{name}_usd"] = _budget(options[name], f"--{name.replace('_', '-')}")
    if options["owner"] is not None:
        users = get_user_model()
        bounds["owner"] = users._default_manager.filter(**{users.USERNAME_FIELD: options["owner"]}).first()
        if bounds["owner"] is None:
            raise CommandError(f"There is no user {options['owner']!r}.")
    return bounds


def _budget(text: str | None, option: str) -> Decimal | None:
    if text is None:
        return None
    try:
        budget = Decimal(text)
    except InvalidOperation:
        raise CommandError(f"{option} must be a number of US dollars.") from None
    if not budget.is_finite() or not _LEAST_USD <= budget <= _MOST_USD:
        raise CommandError(f"{option} must be between {_LEAST_USD} and {_MOST_USD} US dollars.")
    return budget
