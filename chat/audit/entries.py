"""Write audit entries."""

import getpass
import logging
from datetime import timedelta
from typing import Any

from django.db import DatabaseError
from django.utils import timezone

from chat.access.permissions import address_of, is_open
from chat.models import ApiKey, AuditEntry

logger = logging.getLogger(__name__)

_AGAIN_AFTER = timedelta(hours=1)
_TEXTS = {field.name: field.max_length for field in AuditEntry._meta.concrete_fields if field.max_length}


def record(**columns: Any) -> None:
    """Store an entry, in one statement; where PostgreSQL refuses, the log gets it, and the answer is not held back."""
    for name, limit in _TEXTS.items():
        if name in columns:
            columns[name] = str(columns[name]).replace("\x00", "")[:limit]
    try:
        AuditEntry.objects.create(**columns)
    except DatabaseError as error:
        logger.error("An audit entry could not be stored (%s): %s", type(error).__name__, columns)


def was_recorded(who: str, target: str, *, of: str) -> bool:
    """Return whether a user did something to the target in the last hour, at an endpoint whose name begins so."""
    since = timezone.now() - _AGAIN_AFTER
    entries = AuditEntry.objects.filter(by=AuditEntry.By.USER, who=who, at__gte=since, target=target, status__lt=300)
    return entries.filter(endpoint__startswith=of).exists()


def caller_columns(meta: dict[str, Any], user: Any, key: ApiKey | None) -> dict[str, Any] | None:
    """Return the columns that say who called; None for somebody unknown, who was let in nowhere."""
    address = address_of(meta)
    columns: dict[str, Any] = {"address": str(address) if address else None}
    if key is not None:
        return columns | {"by": AuditEntry.By.KEY, "who": key.name, "key_pk": key.pk}
    if user is not None and user.is_authenticated:
        return columns | {"by": AuditEntry.By.USER, "who": user.get_username()}
    if is_open(meta):
        return columns | {"by": AuditEntry.By.LOCAL, "who": "development mode"}
    return None


def record_command(command: str, action: str, target: str, detail: str = "", **signal: Any) -> None:
    """Store that a management command did something; who ran it is the operating system's account.

    It also receives the signal `operator_acted`.
    """
    try:
        who = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        who = "unknown"
    by = AuditEntry.By.COMMAND
    record(by=by, who=who, action=action, target=target, endpoint=f"manage.py {command}", detail=detail)
