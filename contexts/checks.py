"""System checks of the token budget's settings."""

from typing import Any

from django.conf import settings
from django.core import checks

from contexts.registry import contexts
from retrieval.encodings import AVAILABLE, encoding_name_for


def check_encoding(**kwargs: Any) -> list[checks.CheckMessage]:
    if settings.FABRA_ENCODING not in AVAILABLE:
        return [
            checks.Error(
                f"FABRA_ENCODING is {settings.FABRA_ENCODING!r}, which is not here.",
                hint=f"Choose one of {', '.join(AVAILABLE)}.",
                id="contexts.E001",
            )
        ]
    models = {spec.model for spec in contexts.values()} | {settings.FABRA_CHAT_MODEL}
    return [
        checks.Warning(
            f"tiktoken does not know the tokens of {model!r}; {settings.FABRA_ENCODING} counts for it.",
            hint="FABRA_ENCODING should name the encoding nearest to the model's own; each trace says which counted.",
            id="contexts.W001",
        )
        for model in sorted(models)
        if encoding_name_for(model) is None
    ]
