"""Fields of requests: they take just the types of JSON that they name, and the schema says of them what is checked."""

import re
from typing import Any, TypeVar

from django.db import models
from drf_spectacular.utils import extend_schema_field
from rest_framework import ISO_8601, serializers

from chat.api import openapi

Row = TypeVar("Row", bound=models.Model)


class StrictCharField(serializers.Field[str, str, str, Any]):
    """Accept a string unchanged: a number is refused, and nothing is trimmed.

    Blank text, NUL and surrogates are refused by the code that stores it, with one message for every interface.
    """

    default_error_messages = {"invalid": "Not a valid string."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class StrictIntegerField(serializers.IntegerField):
    """Accept a whole number of JSON, also as 1.0; DRF's own takes a text for one, too."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, float) and data.is_integer():
            return int(data)
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class StrictBooleanField(serializers.BooleanField):
    """Accept true and false; DRF's own takes many words and numbers for them, too."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


@extend_schema_field(openapi.KEY)
class KeyField(StrictCharField): ...


@extend_schema_field(openapi.IDENTITY)
class IdentityField(StrictCharField): ...


@extend_schema_field(openapi.INDEX_NAME)
class IndexNameField(StrictCharField): ...


@extend_schema_field(openapi.NAME_OR_EMPTY)
class ContextNameField(StrictCharField): ...


@extend_schema_field(openapi.SLUG_OR_EMPTY)
class BotField(StrictCharField): ...


@extend_schema_field(openapi.MESSAGE)
class MessageField(StrictCharField): ...


@extend_schema_field(openapi.TEXT)
class PlainTextField(StrictCharField): ...


@extend_schema_field(openapi.not_blank())
class DocumentTextField(StrictCharField): ...


@extend_schema_field(openapi.not_blank(200))
class EventTypeField(StrictCharField): ...


@extend_schema_field(openapi.not_blank(100))
class EventIdField(StrictCharField): ...


@extend_schema_field(openapi.OBJECT)
class ObjectField(serializers.JSONField): ...


@extend_schema_field(openapi.AUDIENCE)
class AudienceField(serializers.ListField): ...


class IsoDateTimeField(serializers.DateTimeField):
    """A time in ISO 8601, whatever format the project's own API has for its times."""

    def __init__(self, **options: Any) -> None:
        super().__init__(format=ISO_8601, input_formats=[ISO_8601], **options)


@extend_schema_field(openapi.moment())
class MomentField(IsoDateTimeField): ...


class RowSerializer(serializers.ModelSerializer[Row]):
    # No docstring: each list's schema would begin with it.
    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DateTimeField: IsoDateTimeField,
    }


@extend_schema_field({"type": "string", "format": "email", "maxLength": 254})
class ContactField(StrictCharField): ...


@extend_schema_field(openapi.UUID)
class ClientIdField(serializers.UUIDField):
    """Accept a UUID as it is usually written; DRF's own takes whole numbers for one, too."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or not re.fullmatch(openapi.UUID["pattern"], data):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)
