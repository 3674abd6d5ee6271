"""The type of what a queryset's annotation holds."""

import datetime
import uuid
from decimal import Decimal
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models

# A subclass stands before its parent.
_TYPES: tuple[tuple["type[models.Field[Any, Any]]", Any], ...] = (
    (models.BooleanField, bool),
    (models.DecimalField, Decimal),
    (models.FloatField, float),
    (models.IntegerField, int),
    (models.DateTimeField, datetime.datetime),
    (models.DateField, datetime.date),
    (models.TimeField, datetime.time),
    (models.DurationField, datetime.timedelta),
    (models.UUIDField, uuid.UUID),
    (models.CharField, str),
    (models.TextField, str),
)


def type_of_field(field: Any) -> Any:
    """Return the Python type of a model field's values; Any where JSON's own types do."""
    if isinstance(field, models.ForeignKey):
        return type_of_field(field.target_field)
    if isinstance(field, ArrayField):
        return list[type_of_field(field.base_field)]  # type: ignore[misc]
    return next((python for kind, python in _TYPES if isinstance(field, kind)), Any)
