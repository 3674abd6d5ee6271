"""The outbox: events as rows, and the outcome of each handler."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models, transaction
from django.db.models.expressions import RawSQL
from django.db.models.functions import TruncHour
from django.utils import timezone

from common.clocks import is_past, is_reached
from common.locks import held
from events.models.hours import EventHour

REDISPATCH_AFTER = timedelta(seconds=20)
LOOK_AFTER = timedelta(seconds=3)
LOOK_AHEAD = 100
ERASING = {"purge": True}
"""What the payload of an event has that asks to erase what was said; no later event makes it superfluous."""
_BACKOFF_S = 2.0
_BACKOFF_MAX_S = 600.0
_LONGEST_WAIT = timedelta(seconds=2 * _BACKOFF_MAX_S)


class EventQuerySet(models.QuerySet["Event"]):
    def due(self, now: datetime | None = None) -> Self:
        """Return the events that wait to be processed."""
        reached = is_reached("next_attempt_at", longest=_LONGEST_WAIT, now=now)
        return self.filter(
            # One that is new has nothing to wait for, whatever clock wrote its time.
            models.Q(state=Event.State.RECEIVED) | models.Q(reached, state=Event.State.RETRYING)
        )

    def long_running(self) -> Self:
        """Return the events that a worker is processing, or was processing when it died."""
        return self.filter(is_past("started_at", since=LOOK_AFTER), state=Event.State.RUNNING)

    def release_abandoned(self) -> list["Event"]:
        """Return to the queue the events whose worker died: they are running, but their lock is free."""
        released = []
        for event in self.long_running().only("event_type"):
            with held(event.lock_name) as is_held:
                if is_held and self.filter(pk=event.pk, state=Event.State.RUNNING).update(
                    state=Event.State.RECEIVED, next_attempt_at=timezone.now()
                ):
                    released.append(event)
        return released

    def forgotten(self, after: timedelta = REDISPATCH_AFTER) -> Self:
        """Return due events that were sent to Celery so long ago that it may have lost them."""
        return self.due().filter(is_past("dispatched_at", since=after))

    def of_types(self, prefixes: Sequence[str]) -> Self:
        """Return the events whose type begins with one of the prefixes."""
        condition = models.Q(pk__in=[])
        for prefix in prefixes:
            condition |= models.Q(event_type__startswith=prefix)
        return self.filter(condition)

    def of_this_transaction(self) -> Self:
        """Return the events that the current transaction wrote, outside of its savepoints; nobody else sees them."""
        wrote = RawSQL("events_event.xmin = pg_current_xact_id()::xid", (), output_field=models.BooleanField())
        return self.filter(wrote)

    def unapplied(self) -> Self:
        """Return the events whose change is not applied yet, dead ones included."""
        return self.filter(applied_at=None).exclude(state__in=SETTLED)

    def before(self, event: "Event") -> Self:
        """Return the earlier events about the same state, oldest first."""
        earlier = models.Q(occurred_at__lt=event.occurred_at) | models.Q(occurred_at=event.occurred_at, id__lt=event.pk)
        return self.filter(earlier, state_key=event.state_key).exclude(state_key="").order_by("occurred_at", "id")

    def waiting_before(self, event: "Event") -> list[int]:
        """Return the waiting events of the same type and state that are older: needless once this one is applied."""
        if not event.state_key:
            return []
        waiting = self.due().before(event).filter(event_type=event.event_type).exclude(payload__contains=ERASING)
        return list(waiting.values_list("pk", flat=True))

    def waiting_beside(self, event: "Event") -> list["Event"]:
        """Return the other events that wait for the event's state, at most LOOK_AHEAD."""
        if not event.state_key:
            return []
        waiting = self.due().filter(state_key=event.state_key).exclude(state_key="").exclude(pk=event.pk)
        return list(waiting.order_by("occurred_at", "id")[:LOOK_AHEAD])

    def end_superseded(self, pks: Sequence[int]) -> None:
        """End those of the events that still wait: another one did what they are for."""
        if pks:
            self.due().filter(pk__in=pks).update(
                state=Event.State.SUPERSEDED, finished_at=timezone.now(), error=""
            )  # fmt: skip

    def next_of_state(self, event_pk: int) -> int:
        """Return the pk of the event to process in this one's turn: the newest possible one that waits for its state.

        The chosen event must set every payload key that the skipped ones set, so that theirs would have no lasting
        effect. Skipped events are not ended: if the chosen one fails, they are processed in the remaining turns. Each
        turn processes one event.
        """
        # By itself: within the query below it cost an event without a state 5 ms of 60 while 500 others waited.
        state_key = self.filter(pk=event_pk).values_list("state_key", flat=True).first()
        if not state_key:
            return event_pk
        keys = models.Func(
            "payload",
            template="jsonb_path_query_array(%(expressions)s, '$.keyvalue().key')",
            output_field=models.JSONField(),
        )
        waiting = self.due().filter(state_key=state_key).exclude(state_key="").order_by("occurred_at", "id")
        rows = list(waiting.annotate(keys=keys).values_list("pk", "event_type", "keys")[:LOOK_AHEAD])
        chosen = next((row for row in rows if row[0] == event_pk), rows[0] if rows else None)
        if chosen is None:
            return event_pk
        for row in rows[rows.index(chosen) + 1 :]:
            if row[1] != chosen[1] or not set(chosen[2]) <= set(row[2]):
                break
            chosen = row
        return chosen[0]

    def requeue(self) -> int:
        """Put ended events back into the queue; each keeps the outcomes of the handlers that succeeded."""
        ended = self.exclude(state__in=[Event.State.RECEIVED, Event.State.RUNNING])
        hours = ended.order_by().annotate(hour=TruncHour("received_at", tzinfo=UTC)).values("hour")
        with transaction.atomic():
            EventHour.objects.filter(hour__in=hours).delete()  # they are counted anew
            return ended.update(
                state=Event.State.RECEIVED, attempts=0, next_attempt_at=timezone.now(), error="", finished_at=None
            )


class Event(models.Model):
    """One event of the outbox; `id` orders ties, `event_id` makes it idempotent."""

    class State(models.TextChoices):
        RECEIVED = "received"
        RUNNING = "running"
        RETRYING = "retrying"
        DONE = "done"
        SUPERSEDED = "superseded"
        UNHANDLED = "unhandled"
        DEAD = "dead"

    class Source(models.TextChoices):
        API = "api", "REST"
        STREAM = "stream", "event bus"
        SIGNAL = "signal", "saved row"
        CHAT = "chat", "chat"
        WEBHOOK = "webhook", "webhook"
        ADMIN = "admin", "admin"

    event_id = models.CharField(max_length=100, unique=True)
    event_type = models.CharField(max_length=200)
    entity_id = models.CharField(max_length=255)
    payload = models.JSONField(default=dict, blank=True)
    digest = models.CharField(max_length=64, help_text="SHA-256 of type, entity and payload.")
    source = models.CharField(max_length=10, choices=Source)
    sender = models.CharField(max_length=100, blank=True, help_text="The webhook's source, or the API key's name.")
    state_key = models.CharField(
        max_length=600, blank=True, help_text="The object whose state the event sets; empty for an event without order."
    )
    occurred_at = models.DateTimeField()
    published_at = models.DateTimeField(null=True, blank=True, help_text="When it was added to the Redis stream.")
    received_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=12, choices=State, default=State.RECEIVED)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now, help_text="When a waiting event is processed next.")
    dispatched_at = models.DateTimeField(default=timezone.now, help_text="When it was last enqueued for Celery.")
    started_at = models.DateTimeField(null=True, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True, help_text="When its state was applied.")
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    objects = EventQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = [
            # Serves the sweep, and stays small because ended events are not in it.
            models.Index(
                fields=["next_attempt_at"],
                name="event_due",
                condition=models.Q(state__in=["received", "running", "retrying"]),
            ),
            # Serves the check whether a later event about the same state was applied.
            models.Index(
                fields=["state_key", "-occurred_at"], name="event_by_state_key", condition=~models.Q(state_key="")
            ),
            # Serves the choice among a state's waiting events, and stays small.
            models.Index(
                fields=["state_key"],
                name="event_waiting",
                condition=models.Q(state__in=["received", "retrying"]) & ~models.Q(state_key=""),
            ),
            # Serves the search for an entity's events.
            models.Index(fields=["entity_id", "-occurred_at"], name="event_by_entity"),
            models.Index(fields=["event_type", "-id"], name="event_by_type"),
            # Serves the charts and the pruning.
            models.Index(fields=["received_at"], name="event_by_time"),
            # Serves the count of dead events above the list, and the lists of those in a rare state.
            models.Index(
                fields=["state", "-id"],
                name="event_unusual",
                condition=models.Q(state__in=["superseded", "unhandled", "retrying", "dead"]),
            ),
            # Serves the admin's filter.
            models.Index(fields=["source", "-id"], name="event_by_source"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.entity_id}"

    @property
    def lock_name(self) -> str:
        """The advisory lock that a worker holds as long as it processes the event."""
        return f"event:{self.pk}"

    def claim(self) -> bool:
        """Mark the event as running; return False if it is no longer due."""
        now = timezone.now()
        changes = {"state": Event.State.RUNNING, "attempts": self.attempts + 1, "started_at": now}
        if not Event.objects.due(now).filter(pk=self.pk, attempts=self.attempts).update(**changes):
            return False
        self.state, self.attempts, self.started_at = Event.State.RUNNING, self.attempts + 1, now
        return True

    def is_superseded(self) -> bool:
        """Return whether a later event about the same state was applied; of two at one time, the higher id is later."""
        if not self.state_key or self.applied_at is not None:
            return False
        later = models.Q(occurred_at__gt=self.occurred_at) | models.Q(occurred_at=self.occurred_at, id__gt=self.pk)
        return Event.objects.filter(later, state_key=self.state_key, applied_at__isnull=False).exists()

    def mark_applied(self) -> None:
        """Store when the event's state took effect; a second call changes nothing."""
        if self.applied_at is None:
            self.applied_at = timezone.now()
            self.save(update_fields=["applied_at"])

    def end_or_retry(
        self, outcomes: "Sequence[HandlerOutcome]", *, is_superseded: bool, is_handled: bool = True
    ) -> None:
        """End the event if every handler is done; otherwise retry it with backoff and jitter, up to the limit.

        An event that no handler takes ends as unhandled.

        A handler that failed before and need not run for a superseded event no longer counts as failed.
        """
        failed = [outcome for outcome in outcomes if not outcome.is_done]
        self.error = "\n".join(outcome.error for outcome in failed)
        self.finished_at = timezone.now()
        if not is_handled:
            self.state = Event.State.UNHANDLED
        elif not failed:
            self.state = Event.State.SUPERSEDED if is_superseded else Event.State.DONE
        elif any(outcome.is_permanent for outcome in failed) or self.attempts >= settings.FABRA_EVENT_MAX_ATTEMPTS:
            self.state = Event.State.DEAD
        else:
            wait_s = min(_BACKOFF_MAX_S, _BACKOFF_S * 2 ** (self.attempts - 1)) * jitter()
            self.state, self.finished_at = Event.State.RETRYING, None
            self.next_attempt_at = timezone.now() + timedelta(seconds=wait_s)
        self.save(update_fields=["state", "error", "finished_at", "next_attempt_at"])


SETTLED = (Event.State.DONE, Event.State.SUPERSEDED, Event.State.UNHANDLED)
"""The states of events for which nothing is left to do."""


def jitter() -> float:
    return random.uniform(0.75, 1.25)  # noqa: S311 (not a secret)


class HandlerOutcomeManager(models.Manager["HandlerOutcome"]):
    def record(self, outcomes: "Sequence[HandlerOutcome]") -> None:
        """Store the outcomes, replacing those of earlier attempts, in one statement."""
        changed = ["is_done", "is_permanent", "attempts", "duration_ms", "detail", "error", "updated_at"]
        self.bulk_create(outcomes, update_conflicts=True, unique_fields=["event", "handler"], update_fields=changed)


class HandlerOutcome(models.Model):
    """The outcome of one handler for one event; a handler that succeeded does not run again."""

    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="outcomes")
    handler = models.CharField(max_length=200)
    is_done = models.BooleanField("done", default=False)
    is_permanent = models.BooleanField(default=False, help_text="The event itself is invalid, so no retry can succeed.")
    attempts = models.PositiveSmallIntegerField(default=0)
    duration_ms = models.FloatField(null=True)
    detail = models.JSONField(null=True, blank=True, help_text="What it changed.")
    error = models.TextField(blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = HandlerOutcomeManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["event", "handler"], name="outcome_once_per_handler")]

    def __str__(self) -> str:
        return f"{self.handler}: {'done' if self.is_done else 'failed'}"

    @property
    def is_superseded(self) -> bool:
        """Return whether the handler found a later state than the event's and kept it."""
        return isinstance(self.detail, dict) and self.detail.get("superseded") is True
