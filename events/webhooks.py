"""Webhooks: verify a message's signature and time, and map its body to an event.

A message is signed with HMAC-SHA256 over its timestamp (seconds since 1970), a dot and its body, in hex.
A mapping says how another system's body becomes an event. It is JSON in the shape of an event, in which

- a text that begins with `$.` stands for the value at that path of the body: `"$.entry.id"`, `"$.entries.0.id"`;
- an object with one such key chooses by the value there: `{"$.event": {"publish": "doc_updated"}}`;
- everything else stands for itself.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils.dateparse import parse_datetime

from common.errors import InvalidInput
from common.strict_json import NotJSON, parse_json
from events.errors import WebhookSignatureInvalid, WebhookTimestampStale
from events.event import AxiomEvent
from events.models import WebhookSource

TIMESTAMP, SIGNATURE = "X-Fabra-Timestamp", "X-Fabra-Signature"
MAPPED = ("event_type", "entity_id", "payload", "id", "occurred_at")
_MISSING = object()
_PREFIX = "sha256="
MAX_SIGNATURES = 5
_HEADER_MAX_CHARS = 500  # five signatures with their commas and blanks
_DECOY = secrets.token_urlsafe(32)


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the value of the signature header."""
    return _PREFIX + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def check_timestamp(timestamp: str) -> None:
    """Raise WebhookTimestampStale unless the text is a time near now; it is signed, so it is the sender's clock.

    It costs nothing, so it comes before the body is read and before any HMAC.
    """
    is_number = re.fullmatch(r"\d{1,12}", timestamp, re.ASCII)
    if not is_number or abs(time.time() - int(timestamp)) > settings.FABRA_WEBHOOK_WINDOW.total_seconds():
        raise WebhookTimestampStale


def verify(source: WebhookSource | None, timestamp: str, signature: str, body: bytes) -> WebhookSource:
    """Return the source; raise WebhookTimestampStale or WebhookSignatureInvalid unless it signed this recently.

    The header may hold up to five signatures, separated by commas, while the sender rotates its secrets; more are not
    read. None, which is no source, is refused like a wrong signature and after the same work, so that nobody learns
    which sources there are.
    """
    check_timestamp(timestamp)
    if len(signature) > _HEADER_MAX_CHARS:
        raise WebhookSignatureInvalid
    candidates = [part.strip().encode() for part in signature.split(",", MAX_SIGNATURES)[:MAX_SIGNATURES]]
    valid = source.valid_secrets() if source else []
    # Each secret's HMAC once, and as many for every source: also for none, and outside a rotation.
    decoys = [_DECOY] * (2 * (1 + len(settings.SECRET_KEY_FALLBACKS)) - len(valid))
    expected = [sign(secret, timestamp, body).encode() for secret in [*valid, *decoys]]
    matches = [hmac.compare_digest(ours, theirs) for ours in expected for theirs in candidates]
    if source is None or not any(matches[: len(valid) * len(candidates)]):
        raise WebhookSignatureInvalid
    return source


def event_of_message(source: WebhookSource, timestamp: str, body: bytes) -> AxiomEvent | None:
    """Return a verified message as an event, or None if the mapping yields no event type.

    Without an id in the message, the id is derived from what was signed, so that a replay is the same event. Raise
    InvalidInput for a body that is no event.
    """
    try:
        message = parse_json(body)
    except NotJSON as error:
        raise InvalidInput(f"The body {error}.") from None
    if not isinstance(message, dict):
        raise InvalidInput("The body must be a JSON object.")
    fields = fill(source.mapping, message) if source.mapping else {k: v for k, v in message.items() if k in MAPPED}
    if source.mapping and "event_type" not in fields:
        return None
    given_id = fields.get("id")
    digest = hashlib.sha256(timestamp.encode() + b"." + body).hexdigest()
    return AxiomEvent(
        event_type=fields.get("event_type", ""),
        entity_id=_text(fields.get("entity_id", "")),
        payload=fields.get("payload", {}),
        id=_text(given_id) if given_id is not None else f"{source.name}:{digest[:40]}",
        occurred_at=_moment(fields.get("occurred_at"), timestamp),
    )


def fill(template: Any, message: Any) -> Any:
    """Return the template with the message's values filled in; members with a missing value are left out."""
    if isinstance(template, str):
        return _at(message, template) if is_path(template) else template
    if isinstance(template, list):
        return [value for member in template if (value := fill(member, message)) is not _MISSING]
    if not isinstance(template, dict):
        return template
    if choice := _choice(template):
        path, options = choice
        found = _at(message, path)
        return fill(options[found], message) if isinstance(found, str) and found in options else _MISSING
    return {key: value for key, member in template.items() if (value := fill(member, message)) is not _MISSING}


def is_path(text: str) -> bool:
    return text.startswith("$.")


def problems_of(mapping: dict[str, Any]) -> Iterable[str]:
    """Yield the problems of a mapping; an empty one is valid and uses the body as it is."""
    if not mapping:
        return
    for name in ("event_type", "entity_id"):
        if name not in mapping:
            yield f"It needs {name}."
    for name in mapping.keys() - set(MAPPED):
        yield f"{name} is no part of an event, which has {', '.join(MAPPED)}."
    yield from _wrong_paths(mapping)


def _wrong_paths(template: Any) -> Iterable[str]:
    if isinstance(template, str) and is_path(template) and not all(template[2:].split(".")):
        yield f"{template} is no path, such as $.entry.id."
    elif isinstance(template, list):
        for member in template:
            yield from _wrong_paths(member)
    elif isinstance(template, dict):
        if any(is_path(key) for key in template) and _choice(template) is None:
            yield "An object with a path as its key has no other key, and its value is an object of choices."
        for key, member in template.items():
            yield from _wrong_paths(key)
            yield from _wrong_paths(member)


def _choice(template: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    if len(template) != 1:
        return None
    [(path, options)] = template.items()
    return (path, options) if is_path(path) and isinstance(options, dict) else None


def _at(message: Any, path: str) -> Any:
    for name in path[2:].split("."):
        if isinstance(message, dict) and name in message:
            message = message[name]
        elif isinstance(message, list) and name.isdecimal() and int(name) < len(message):
            message = message[int(name)]
        else:
            return _MISSING
    return message


def _text(value: Any) -> Any:
    """Return a whole number as text, because other systems use numbers as ids; other values are unchanged."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _moment(given: Any, timestamp: str) -> datetime:
    """Return the body's time, in ISO 8601 or seconds since 1970; without one, the signature's timestamp."""
    if given is None:
        return datetime.fromtimestamp(int(timestamp), UTC)
    try:
        if isinstance(given, int | float) and not isinstance(given, bool):
            return datetime.fromtimestamp(given, UTC)
        parsed = parse_datetime(given) if isinstance(given, str) else None
    except (ValueError, OverflowError, OSError):
        parsed = None
    if parsed is None:
        raise InvalidInput("occurred_at is no ISO 8601 time.")
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
