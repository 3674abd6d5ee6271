import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from chat.demo.site import Demo, make_server
from chat.models import ApiKey, Customer, UserSigning

_NAME = "Demo site"
_MOST_USERS, _PER_MINUTE = 6, 60


class Command(BaseCommand):
    help = "Serve a site that embeds the chat, on this machine and an origin of its own, until Ctrl-C."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--port", type=int, default=8001)
        bot = f"http://127.0.0.1:{os.environ.get('FABRA_PORT') or '8000'}"
        parser.add_argument("--bot", default=bot, help="The bot's address; by default that of `make up`.")

    def handle(self, *args: Any, port: int, bot: str, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The demo site asks for no password: it runs in development mode (DEBUG=1) only.")
        # By another name than the bot's, so that the browser takes it for another site.
        origin = f"http://localhost:{port}"
        row = ApiKey.objects.filter(name=_NAME, kind=ApiKey.Kind.PUBLIC).first()
        row = row or ApiKey(name=_NAME, kind=ApiKey.Kind.PUBLIC, scopes=["chat"])
        row.origins, row.revoked_at, row.per_minute = [origin], None, row.per_minute or _PER_MINUTE
        key = row.renew()
        row.save()
        signing, _ = UserSigning.objects.update_or_create(
            key=row, defaults={"user_prefix": ""}
        )  # they are the sample's customers
        users = {customer.user_id: str(customer) for customer in Customer.objects.all()[:_MOST_USERS]}
        demo = Demo(bot_url=bot.rstrip("/"), key=key, secret=signing.secret, users=users)
        try:
            server = make_server(demo, port)
        except OSError as error:
            raise CommandError(f"Port {port} cannot be used: {error.strerror}.") from None
        self.stdout.write(f"The demo site is at {origin}/ and ends with Ctrl-C.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            self.stdout.write("The demo site has ended.")
        finally:
            server.server_close()
