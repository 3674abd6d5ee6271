"""Where the running stack's servers are, and the project's secret key: files in the data folder."""

import json
import os
import secrets
from pathlib import Path


def services_file(data_dir: Path) -> Path:
    return data_dir / "run" / "services.json"


def read_services(data_dir: Path) -> dict[str, str]:
    """Return DATABASE_URL and REDIS_URL of the running stack; {} where none runs."""
    try:
        return json.loads(services_file(data_dir).read_text())
    except (FileNotFoundError, ValueError):
        return {}


def secret_key(data_dir: Path) -> str:
    """Return Django's secret key, made once; of two processes at the same time one makes it."""
    path = data_dir / "secrets" / "secret_key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = path.with_name(f"secret_key.{os.getpid()}.{secrets.token_hex(4)}")
        part.touch(mode=0o600)
        part.write_text(secrets.token_urlsafe(60))
        try:
            os.link(part, path)  # fails where another process was first
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return path.read_text().strip()
