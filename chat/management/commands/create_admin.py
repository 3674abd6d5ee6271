import json
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

USERNAME = "admin"


class Command(BaseCommand):
    help = "Make the admin's account with a generated password, once; print both as JSON."

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(settings.DATA_DIR) / "secrets" / "admin_password"
        users = get_user_model().objects
        known = users.filter(username=USERNAME).first()
        if not path.exists():
            if known is not None:  # created by hand: only its owner knows the password
                self.stdout.write(json.dumps({"username": USERNAME, "password": None}))
                return
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(12))
        password: str | None = path.read_text().strip()
        if known is None:
            users.create_superuser(USERNAME, password=password)
        elif not known.check_password(password):
            password = None  # changed since
        self.stdout.write(json.dumps({"username": USERNAME, "password": password}))
