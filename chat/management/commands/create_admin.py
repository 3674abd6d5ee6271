import json
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

USERNAME = "admin"


class Command(BaseCommand):
    help = "Make the admin's account with a generated password; print them as JSON, the password the first time only."

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(settings.FABRA_DATA_DIR) / "secrets" / "admin_password"
        users = get_user_model().objects
        known = users.filter(username=USERNAME).first()
        is_new = known is None and not path.exists()
        if is_new:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(12))
        kept = path.read_text().strip() if path.exists() else None
        if known is None:
            users.create_superuser(USERNAME, password=kept)
        elif kept is not None and not known.check_password(kept):
            kept = None  # changed since: only its owner knows it
        told = {"password": kept if is_new else None, "kept_in": str(path) if kept else None}
        self.stdout.write(json.dumps({"username": USERNAME, **told}))
