"""The event bus: a Redis Stream that any language can write to, and the consumer that fills the outbox from it.

An entry has the fields `event_type`, `entity_id`, `payload` (a JSON object), and optionally `id` (makes it
idempotent; default: the entry's own id) and `occurred_at` (ISO 8601; default: the entry's time).
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import redis
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import transaction
from django.utils.dateparse import parse_datetime

from common.errors import FabraError, InvalidInput
from common.redis import REDIS_ERRORS, async_redis, plain_redis, redis_key
from common.strict_json import NotJSON, parse_json
from common.validation import to_json
from events.acceptance import accepted
from events.errors import EventBusUnavailable
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_events

logger = logging.getLogger(__name__)

GROUP = "outbox"
_BATCH = 100
_TRIM_EVERY_S = 10.0


def stream_key() -> str:
    return redis_key("events")


class RedisEventBus:
    """Publish events to a stream of Redis; `manage.py consume_events` moves them into the outbox."""

    async def publish(self, event: AxiomEvent) -> str | None:
        """Append the event to the stream and return its id there; inside `atomic`, publish on commit and return None.

        Raise InvalidInput for an event that cannot be stored, EventBusUnavailable when Redis does not answer.
        """
        fields = _to_fields(event)
        if await sync_to_async(_is_deferred)(fields):
            return None
        try:
            client = await async_redis()
            return await client.xadd(stream_key(), fields)
        except REDIS_ERRORS as error:
            raise EventBusUnavailable from error


def _is_deferred(fields: dict[Any, Any]) -> bool:
    if not transaction.get_connection().in_atomic_block:
        return False
    transaction.on_commit(lambda: _publish_plain(fields))
    return True


def _publish_plain(fields: dict[Any, Any]) -> None:
    try:
        plain_redis(settings.FABRA_REDIS_TIMEOUT_S).xadd(stream_key(), fields)
    except REDIS_ERRORS as error:
        raise EventBusUnavailable from error


def _to_fields(event: AxiomEvent) -> dict[Any, Any]:
    accepted(event.validate())
    return {
        "id": event.id,
        "event_type": event.event_type,
        "entity_id": event.entity_id,
        "payload": to_json(event.payload, "payload"),
        "occurred_at": event.occurred_at.isoformat(),
    }


def consume(consumer: str, should_stop: Callable[[], bool], block_ms: int = 1000) -> None:
    """Move stream entries into the outbox until `should_stop`; each is acknowledged after its commit.

    Entries that another consumer read and did not acknowledge are claimed after half a minute. Raise
    redis.RedisError when Redis does not answer, and the database's errors: the caller tries again.
    """
    client = plain_redis()
    try:
        client.xgroup_create(stream_key(), GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
    # Entries that this consumer read before a crash come first, then new ones.
    _drain(client, consumer)
    trimmed_at = -math.inf
    while not should_stop():
        _take_over(client, consumer)
        if time.monotonic() - trimmed_at > _TRIM_EVERY_S:
            trim_stream(client)
            trimmed_at = time.monotonic()
        read = client.xreadgroup(GROUP, consumer, {stream_key(): ">"}, count=_BATCH, block=block_ms)
        for _, entries in read or []:
            store_entries(client, entries)


def _drain(client: Any, consumer: str) -> None:
    while True:
        read = client.xreadgroup(GROUP, consumer, {stream_key(): "0"}, count=_BATCH)
        entries = read[0][1] if read else []
        if not entries:
            return
        store_entries(client, entries)


def _take_over(client: Any, consumer: str) -> None:
    _, entries, *_ = client.xautoclaim(stream_key(), GROUP, consumer, settings.FABRA_STREAM_IDLE_MS, count=_BATCH)
    if entries:
        store_entries(client, entries)


def store_entries(client: Any, entries: list[tuple[str, Mapping[str, str]]]) -> None:
    """Commit the entries as events and acknowledge them; an entry that is no valid event becomes a dead one."""
    with transaction.atomic():
        readable: list[tuple[str, Mapping[str, str], AxiomEvent]] = []
        for entry_id, fields in entries:
            try:
                readable.append((entry_id, fields, event_of_fields(entry_id, fields or {})))
            except InvalidInput as error:
                dead_letter(entry_id, fields or {}, str(error))
        events = [event for _, _, event in readable]
        times = [time_of_entry(entry_id) for entry_id, _, _ in readable]
        results = record_events(events, Event.Source.STREAM, published_at=times)
        for (entry_id, fields, _), result in zip(readable, results, strict=True):
            if isinstance(result, FabraError):
                dead_letter(entry_id, fields, str(result))
    client.xack(stream_key(), GROUP, *[entry_id for entry_id, _ in entries])


def trim_stream(client: Any) -> int:
    """Remove the entries that every consumer group has acknowledged; return how many."""
    firsts = [first_needed(client, group) for group in client.xinfo_groups(stream_key())]
    if not firsts:
        return 0
    first = min(firsts, key=lambda entry_id: tuple(map(int, entry_id.split("-"))))
    return int(client.xtrim(stream_key(), minid=first, approximate=False))


def first_needed(client: Any, group: Mapping[str, Any]) -> str:
    """Return the id of the first entry that a group has not acknowledged."""
    pending = client.xpending(stream_key(), group["name"])
    return str(pending["min"] if pending["pending"] else _after(group["last-delivered-id"]))


def _after(entry_id: str) -> str:
    moment, number = entry_id.split("-")
    return f"{moment}-{int(number) + 1}"


def time_of_entry(entry_id: str) -> datetime:
    """Return the time in a stream id, at most now, because the writer may choose the id."""
    return datetime.fromtimestamp(min(int(entry_id.split("-")[0]) / 1000, time.time()), UTC)


def event_of_fields(entry_id: str, fields: Mapping[str, str]) -> AxiomEvent:
    try:
        payload = parse_json(fields.get("payload") or "{}")
    except NotJSON as error:
        raise InvalidInput(f"payload {error}.") from None
    occurred_at = time_of_entry(entry_id)
    if "occurred_at" in fields:
        try:
            parsed = parse_datetime(fields["occurred_at"])
        except ValueError:
            parsed = None
        if parsed is None:
            raise InvalidInput("occurred_at is no ISO 8601 time.")
        occurred_at = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    event = AxiomEvent(
        event_type=fields.get("event_type", ""),
        entity_id=fields.get("entity_id", ""),
        payload=payload,
        id=fields.get("id") or entry_id,
        occurred_at=occurred_at,
    )
    return accepted(event)


def dead_letter(entry_id: str, fields: Mapping[str, str], reason: str) -> None:
    """Store an entry that is no valid event as a dead event, so that an operator sees it."""

    def clean(text: Any, size: int) -> str:
        return str(text).replace("\x00", "\ufffd").encode(errors="replace").decode()[:size]

    logger.warning("The stream entry %s is no event: %s", entry_id, reason)
    Event.objects.get_or_create(
        event_id=f"stream:{entry_id}",
        defaults={
            "event_type": clean(fields.get("event_type", ""), 200) or "?",
            "entity_id": clean(fields.get("entity_id", ""), 255) or "?",
            "payload": {"stream_fields": {clean(k, 200): clean(v, 10_000) for k, v in fields.items()}},
            "digest": "",
            "source": Event.Source.STREAM,
            "occurred_at": time_of_entry(entry_id),
            "published_at": time_of_entry(entry_id),
            "state": Event.State.DEAD,
            "error": reason,
        },
    )
