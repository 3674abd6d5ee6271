from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chat.audit.entries import record_command
from chat.models import ApiKey
from common.durations import parse_duration
from common.errors import FabraError


class Command(BaseCommand):
    help = "Give an API key a new secret and print it, once; the present one goes on working for a while."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("key", help="The key's name, or the first characters of its secret.")
        parser.add_argument(
            "--overlap", default="7d", help='How long the present secret works, such as "24h"; "0": it ends now.'
        )
        parser.add_argument(
            "--end-previous", action="store_true", help="End the secret of an earlier rotation that works still."
        )

    def handle(self, *args: Any, key: str, overlap: str, end_previous: bool, **options: Any) -> None:
        row = _find(key)
        try:
            lasts = None if overlap == "0" else parse_duration(overlap, "--overlap")
            secret = row.rotate(lasts or timedelta(), end_previous=end_previous)
        except FabraError as error:
            raise CommandError(str(error)) from error
        record_command("rotate_api_key", "rotate", f"chat.apikey {row.pk}", f"{row.name}, overlap {overlap}")
        self.stdout.write(secret)


def _find(text: str) -> ApiKey:
    """Return the usable key of this name or beginning; raise CommandError if there is none, or several."""
    rows = list(ApiKey.objects.usable().filter(name=text)[:2]) or list(ApiKey.objects.usable().filter(start=text)[:2])
    if not rows:
        raise CommandError(f"No usable key has the name or the beginning {text!r}.")
    if len(rows) > 1:
        raise CommandError(f"Several keys have the name {text!r}: give the beginning of the secret.")
    return rows[0]
