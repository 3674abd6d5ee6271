"""The tables of the offline store: append-only values, read point-in-time."""

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now, RowNumber
from django.utils import timezone

HISTORY = 40
"""The number of values in the drawing of one entity's history."""


class FeatureValueQuerySet(models.QuerySet["FeatureValue"]):
    def of(self, entity: str, entity_key: str) -> Self:
        return self.filter(entity=entity, entity_key=entity_key)

    def latest_of(self, entity: str, entity_keys: Sequence[str], features: Sequence[str]) -> Self:
        """Return the newest value of each entity's feature: the latest event_timestamp, then the latest created_at."""
        return (
            self.filter(entity=entity, entity_key__in=entity_keys, feature__in=features)
            .order_by("entity_key", "feature", "-event_timestamp", "-created_at", "-id")
            .distinct("entity_key", "feature")
        )

    def histories(self, entity: str, entity_keys: Sequence[str], feature: str) -> dict[str, list["FeatureValue"]]:
        """Return the newest HISTORY values of each entity's feature, by entity key, oldest first."""
        position = models.Window(
            RowNumber(), partition_by="entity_key", order_by=["-event_timestamp", "-created_at", "-id"]
        )
        same = self.filter(entity=entity, entity_key__in=entity_keys, feature=feature).annotate(position=position)
        found = defaultdict[str, list[FeatureValue]](list)
        for row in same.filter(position__lte=HISTORY).order_by("event_timestamp", "created_at", "id"):
            found[row.entity_key].append(row)
        return found


class FeatureValue(models.Model):
    """One value of one feature for one entity; never changed once written."""

    class Source(models.TextChoices):
        COMPUTED = "computed", "computed on demand"
        MATERIALIZED = "materialized", "materialised"
        BACKFILLED = "backfilled", "backfilled"
        EVENT = "event", "from an event"
        SET = "set", "set"
        TOKEN = "token", "from a user's token"

    entity = models.CharField(max_length=200)
    entity_key = models.CharField(max_length=255)
    feature = models.CharField(max_length=200)
    value = models.JSONField(null=True)
    event_timestamp = models.DateTimeField(help_text="When the value was true.")
    created_at = models.DateTimeField(default=timezone.now, help_text="When the value was stored.")
    source = models.CharField(max_length=20, choices=Source)
    run = models.ForeignKey(
        "features.MaterializationRun",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="values",
        db_index=False,
    )
    # Its index is that of `value_once_per_event`.
    event = models.ForeignKey(
        "events.Event", null=True, blank=True, on_delete=models.SET_NULL, related_name="values", db_index=False
    )
    about = models.CharField(
        max_length=100,
        null=True,
        editable=False,
        help_text="What its event was about, once the event is gone, as the app says that would erase the value.",
    )
    confirmed_as = models.BigIntegerField(
        null=True, editable=False, help_text="The id of an earlier value whose confirmations are this one's too."
    )

    objects = FeatureValueQuerySet.as_manager()

    class Meta:
        constraints = [
            # An event that is processed again, since its worker died, writes its value once.
            models.UniqueConstraint(
                fields=["event", "feature", "entity_key"],
                condition=models.Q(event__isnull=False),
                name="value_once_per_event",
            )
        ]
        indexes = [
            # Serves the latest value, a point-in-time read and the admin's history of one entity.
            models.Index(
                fields=["entity", "entity_key", "feature", "-event_timestamp", "-created_at"],
                name="value_point_in_time",
            ),
            # Serves the admin's list of one feature's newest values.
            models.Index(fields=["feature", "-created_at"], name="value_by_feature"),
            # Serves a run's values; most others have none.
            models.Index(fields=["run"], name="value_by_run", condition=models.Q(run__isnull=False)),
            # Serves the erasure of what is known about something; few values have it.
            models.Index(fields=["about"], name="value_about", condition=models.Q(about__isnull=False)),
            # Serves the admin's filter; most values are of the other source.
            models.Index(fields=["source", "-id"], name="value_by_source", condition=~models.Q(source="materialized")),
        ]

    def __str__(self) -> str:
        return f"{self.feature} of {self.entity_key}"


_TOUCH_EVERY_S = 600.0
_MAX_TOUCHED = 50_000
_touched: dict[tuple[str, str], float] = {}


def _remember(entity: str, keys: list[str], moment: float) -> None:
    if len(_touched) > _MAX_TOUCHED:
        _touched.clear()
    _touched.update(((entity, key), moment) for key in keys)


class KnownEntityManager(models.Manager["KnownEntity"]):
    def touch(self, entity: str, entity_keys: list[str]) -> None:
        """Record that these entities were requested or named; each process writes an entity once in ten minutes."""
        now = time.monotonic()
        keys = [
            key for key in sorted(set(entity_keys)) if now - _touched.get((entity, key), -math.inf) > _TOUCH_EVERY_S
        ]
        if not keys:
            return
        self.bulk_create(
            [KnownEntity(entity=entity, entity_key=key) for key in keys],
            update_conflicts=True,
            unique_fields=["entity", "entity_key"],
            update_fields=["last_seen_at"],
        )
        transaction.on_commit(lambda: _remember(entity, keys, now))

    def remembered(self, entity: str, now: datetime | None = None) -> models.QuerySet["KnownEntity"]:
        """Return entities seen within FABRA_ENTITY_MEMORY, so that junk ids are not materialised for ever."""
        since = (now or timezone.now()) - settings.FABRA_ENTITY_MEMORY
        return self.filter(entity=entity, last_seen_at__gte=since).order_by("entity_key")


class KnownEntity(models.Model):
    """An entity that a request or an event named; materialisation does not update `last_seen_at`."""

    entity = models.CharField(max_length=200)
    entity_key = models.CharField(max_length=255)
    first_seen_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(default=timezone.now)

    objects = KnownEntityManager()

    class Meta:
        verbose_name_plural = "known entities"
        constraints = [models.UniqueConstraint(fields=["entity", "entity_key"], name="known_entity_once")]
        # Serves a materialisation run, which reads the remembered entities.
        indexes = [models.Index(fields=["entity", "last_seen_at"], name="known_entity_seen")]

    def __str__(self) -> str:
        return f"{self.entity} {self.entity_key}"


class OnlineRepair(models.Model):
    """A value that could not be written to Redis, or erased there; the sweep does it later."""

    entity = models.CharField(max_length=200)
    entity_key = models.CharField(max_length=255)
    feature = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["entity", "entity_key", "feature"], name="online_repair_once")]

    def __str__(self) -> str:
        return f"{self.feature} of {self.entity_key}"
