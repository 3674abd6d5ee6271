"""The models of FABRA_MODELS: each is an object with the columns of a model in the admin."""

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError

from chat.models import ModelProvider
from common.validation import to_json

_COLUMNS = {field.name for field in ModelProvider._meta.concrete_fields} - {"id"}


def models_of_settings() -> list[ModelProvider]:
    """Return the models as rows that are not stored, in their order, without those that cannot work."""
    return list(_read(to_json(settings.FABRA_MODELS, "FABRA_MODELS"))[0]) if settings.FABRA_MODELS else []


def wrong_models() -> list[str]:
    """Return what of FABRA_MODELS cannot work."""
    return list(_read(to_json(settings.FABRA_MODELS, "FABRA_MODELS"))[1]) if settings.FABRA_MODELS else []


@lru_cache(maxsize=4)
def _read(text: str) -> tuple[tuple[ModelProvider, ...], tuple[str, ...]]:
    """Return the models that work, and what is wrong with the others; `text` is the value of the settings."""
    given: Any = settings.FABRA_MODELS
    if not isinstance(given, list):
        return (), ("it is no list",)
    found: list[ModelProvider] = []
    wrong: list[str] = []
    for number, entry in enumerate(given, 1):
        try:
            found.append(_row_of(entry, {row.name for row in found}))
        except ValidationError as error:
            wrong.append(f"model {number}: {' '.join(error.messages)}")
    return tuple(found), tuple(wrong)


def _row_of(entry: Any, taken: set[str]) -> ModelProvider:
    """Return the row of one entry; raise ValidationError."""
    if not isinstance(entry, dict):
        raise ValidationError("It is no object.")
    if unknown := sorted(set(entry) - _COLUMNS):
        raise ValidationError(f"It has no {', '.join(unknown)}.")
    if entry.get("name") in taken:
        raise ValidationError(f"Another one is called {entry['name']}.")
    row = ModelProvider(**{"position": 0} | entry)
    try:
        row.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        raise ValidationError([f"{name}: {' '.join(said)}" for name, said in error.message_dict.items()]) from None
    return row
