"""The URLs of the running stack's servers, and the project's secrets: files in the data folder.

The settings import this, so it uses only the standard library.
"""

import json
import os
import secrets
from pathlib import Path


def services_file(data_dir: Path) -> Path:
    return data_dir / "run" / "services.json"


def read_services(data_dir: Path) -> dict[str, str]:
    """Return DATABASE_URL and REDIS_URL of the running stack; {} if none runs."""
    try:
        services: dict[str, str] = json.loads(services_file(data_dir).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return services


def write_services(data_dir: Path, services: dict[str, str]) -> None:
    """Write the servers' URLs; they contain passwords, so only the owner may read the file."""
    path = services_file(data_dir)
    part = private_file(path, json.dumps(services, indent=2))
    part.replace(path)


def remove_services(data_dir: Path) -> None:
    services_file(data_dir).unlink(missing_ok=True)


def secret_key(data_dir: Path) -> str:
    """Return Django's secret key, generated once."""
    return secret(data_dir, "secret_key", size=60)


def secret(data_dir: Path, name: str, *, size: int = 24) -> str:
    """Return the secret `name`, generated once, even if two processes ask for it at the same time."""
    path = data_dir / "secrets" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = private_file(path, secrets.token_urlsafe(size))
        try:
            os.link(part, path)  # fails if another process was first
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return path.read_text().strip()


def private_file(path: Path, text: str) -> Path:
    """Write the text to a new file next to `path`, readable by the owner only; the caller renames it to `path`."""
    part = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    return part
