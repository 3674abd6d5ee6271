"""Secrets from the environment, or from files that it names, as Docker, Kubernetes and systemd provide them.

The stack reads its servers' URLs with it before Django is set up.
"""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def env_secret(name: str) -> str:
    """Return the variable `name`, otherwise the content of the file that `<name>_FILE` names, otherwise "".

    Raise ImproperlyConfigured for a file that is empty or cannot be read, because another secret would be used instead.
    """
    value = os.environ.get(name, "")
    path = os.environ.get(f"{name}_FILE", "")
    if value or not path:
        return value
    try:
        value = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ImproperlyConfigured(f"{name}_FILE: {path} cannot be read: {reason}.") from None
    if not value:
        raise ImproperlyConfigured(f"{name}_FILE: {path} is empty.")
    return value
