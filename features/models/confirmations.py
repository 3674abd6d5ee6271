"""The table that says which values a materialisation found unchanged, so that they are not written again."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection, models

from features.models.values import FeatureValue

# One index descent for each value; the keys' bounds are in the index, so that few rows are fetched.
_NEWEST = """
SELECT given.id, c.moment, c.created_at
FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::timestamptz[])
    AS given(id, confirmed_as, feature, entity_key, since)
CROSS JOIN LATERAL (
    SELECT moment, created_at
    FROM features_featureconfirmation c
    WHERE c.feature = given.feature AND c.moment > given.since AND c.moment <= %s
      AND c.first_key <= given.entity_key AND c.last_key >= given.entity_key
      AND c.value_ids @> given.confirmed_as
    ORDER BY c.moment DESC
    LIMIT 1
) c
"""


class BigIntegerMultirangeField(models.Field):  # type: ignore[type-arg]
    """A set of integers, stored as its ranges: some 20 bytes for each row of consecutive ones."""

    def db_type(self, connection: Any) -> str:
        return "int8multirange"


class FeatureConfirmationQuerySet(models.QuerySet["FeatureConfirmation"]):
    def newest_of(
        self, values: Iterable[FeatureValue], *, since: datetime, until: datetime
    ) -> dict[int, tuple[datetime, datetime]]:
        """Return when values were last confirmed, after `since` and by `until`: the moment and `created_at`, by id."""
        rows = list(values)
        parameters: list[Any] = [
            [row.pk for row in rows],
            [row.confirmed_as or row.pk for row in rows],
            [row.feature for row in rows],
            [row.entity_key for row in rows],
            [max(since, row.event_timestamp) for row in rows],
            until,
        ]
        with connection.cursor() as cursor:
            cursor.execute(_NEWEST, parameters)
            return {pk: (moment, created_at) for pk, moment, created_at in cursor.fetchall()}


class FeatureConfirmation(models.Model):
    """Values that a chunk of a materialisation computed again and found unchanged: true at `moment` too.

    It stands for one more row of each value, with its `moment` as event_timestamp and its `created_at`.
    """

    feature = models.CharField(max_length=200)
    moment = models.DateTimeField(help_text="When the values were true.")
    created_at = models.DateTimeField(help_text="When this was learned.")
    first_key = models.CharField(max_length=255, db_collation="C")
    last_key = models.CharField(max_length=255, db_collation="C")
    value_ids = BigIntegerMultirangeField(help_text="The ids of the values, or of those that they are confirmed as.")

    objects = FeatureConfirmationQuerySet.as_manager()

    class Meta:
        indexes = [
            # Serves a value's newest confirmation by a moment.
            models.Index(fields=["feature", "moment", "first_key", "last_key"], name="confirmation_by_moment")
        ]

    def __str__(self) -> str:
        return f"{self.feature} {self.first_key} to {self.last_key}"
