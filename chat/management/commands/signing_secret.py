from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from chat.audit.entries import record_command
from chat.models import ApiKey, UserSigning


class Command(BaseCommand):
    help = "Print the secret by which the site of a public key signs its users; make it at the first time."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("key", help="The name of the key, or the key itself.")
        parser.add_argument("--rotate", action="store_true", help="Make a new one; the present one stays valid.")
        parser.add_argument(
            "--prefix",
            default=None,
            help='What the ids of the site\'s users begin with here, such as "shop:"; "": nothing.',
        )

    def handle(self, *args: Any, key: str, rotate: bool, prefix: str | None, **options: Any) -> None:
        usable = ApiKey.objects.usable().filter(kind=ApiKey.Kind.PUBLIC)
        named = Q(name=key) | Q(digest=ApiKey.digest_of(key)) | Q(previous_digest=ApiKey.digest_of(key))
        found = list(usable.filter(named)[:2])
        if len(found) != 1:
            raise CommandError(f"{'Several' if found else 'No'} usable public keys are called {key!r}.")
        signing, is_new = UserSigning.objects.get_or_create(key=found[0])
        if prefix is not None:
            _set_prefix(signing, prefix)
        if signing.algorithm != UserSigning.Algorithm.HS256:
            raise CommandError("The site of this key signs with a key pair of its own.")
        secret = signing.rotate() if rotate and not is_new else signing.secret
        action = "add" if is_new else "rotate" if rotate else "show secret"
        # Whoever has it can name any user of the site, so each time that it is seen is recorded.
        record_command("signing_secret", action, f"chat.usersigning {signing.pk}", signing.name)
        self.stdout.write(secret)


def _set_prefix(signing: UserSigning, prefix: str) -> None:
    signing.user_prefix = prefix
    try:
        signing.full_clean()
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from None
    signing.save(update_fields=["user_prefix"])
    record_command("signing_secret", "change", f"chat.usersigning {signing.pk}", f"prefix of user ids: {prefix}")
