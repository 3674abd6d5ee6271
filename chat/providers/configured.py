"""The language models that may be asked, in their order: the one of the environment, the settings', the admin's."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.conf import settings

from chat.models import ModelProvider
from chat.models.providers import ENVIRONMENT, SET_BY_BOT
from chat.providers.of_settings import models_of_settings
from common.operator_settings import Snapshot
from common.secret_files import env_secret


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A language model on a server with OpenAI's API."""

    name: str
    """What traces and costs call it."""
    base_url: str
    model: str
    key_variable: str = ""
    """The environment variable that holds the key; "" for a server that needs none."""
    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0
    """To the first piece of an answer, and between two."""
    retries: int = 0
    window: int = 0
    """The tokens that it takes and gives in one call; 0 if that is not known."""
    max_tokens: int = 0
    """The most tokens that it writes in one call; 0: FABRA_MODEL_MAX_TOKENS."""
    prices: tuple[Decimal, Decimal] | None = None
    """US dollars for a million tokens of input and of output, if the operator set them."""
    can_stream: bool = True
    takes_system: bool = True
    begins_with_thinking: bool = False
    """Its template opens the mark of thinking, so that an answer has `</think>` only."""
    parameters: dict[str, Any] = field(default_factory=dict, hash=False)
    position: int = 0

    @property
    def most_tokens(self) -> int:
        """The most tokens that it writes in one call."""
        return self.max_tokens or settings.FABRA_MODEL_MAX_TOKENS

    def cut(self, max_tokens: int | None) -> list[str]:
        """Return what of a client's wish for a longest answer has no effect here, as a list of one name, or none."""
        return [f"max_tokens above {self.most_tokens}"] if max_tokens and max_tokens > self.most_tokens else []

    @property
    def key(self) -> str:
        """Return the key, "none" for a server that needs none, or "" if the variable is not set."""
        if not self.key_variable:
            return "none"
        return settings.OPENAI_API_KEY if self.key_variable == "OPENAI_API_KEY" else env_secret(self.key_variable)


async def configured_models() -> list[ModelConfig]:
    """Return all models that may be asked, the first choice first; empty if there is none."""
    return _ordered(await rows.rows())


def configured_models_now() -> list[ModelConfig]:
    """Return the same where there is no event loop, read from the database now."""
    rows.reload()
    return _ordered(rows.known)


def environment_model() -> ModelConfig | None:
    """Return the model of OPENAI_API_KEY, if it is set and the chat may use it."""
    if not settings.OPENAI_API_KEY or not settings.FABRA_CHAT_USES_OPENAI_KEY:
        return None
    return ModelConfig(
        name=ENVIRONMENT,
        base_url=settings.OPENAI_BASE_URL,
        model=settings.FABRA_CHAT_MODEL,
        key_variable="OPENAI_API_KEY",
        timeout_s=settings.FABRA_MODEL_TIMEOUT_S,
        retries=settings.FABRA_MODEL_RETRIES,
        window=settings.FABRA_MODEL_WINDOW,
        begins_with_thinking=settings.FABRA_MODEL_BEGINS_WITH_THINKING,
    )


def config_of(row: ModelProvider) -> ModelConfig:
    prices = (row.input_price_usd, row.output_price_usd)
    return ModelConfig(
        name=row.name,
        base_url=row.base_url,
        model=row.model,
        key_variable=row.key_variable,
        connect_timeout_s=row.connect_timeout_s,
        timeout_s=settings.FABRA_MODEL_TIMEOUT_S if row.timeout_s is None else row.timeout_s,
        retries=settings.FABRA_MODEL_RETRIES if row.retries is None else row.retries,
        window=settings.FABRA_MODEL_WINDOW if row.window is None else row.window,
        max_tokens=row.max_tokens or 0,
        prices=None if prices[0] is None or prices[1] is None else (prices[0], prices[1]),
        can_stream=row.can_stream,
        takes_system=row.takes_system,
        begins_with_thinking=row.begins_with_thinking,
        parameters={name: value for name, value in row.parameters.items() if name not in SET_BY_BOT},
        position=row.position,
    )


def _load() -> dict[str, ModelConfig | None]:
    return {row.name: config_of(row) if row.is_enabled else None for row in ModelProvider.objects.all()}


rows: Snapshot[ModelConfig | None] = Snapshot(_load)
"""The models of the admin; None for one that is switched off."""


def _ordered(found: dict[str, ModelConfig | None]) -> list[ModelConfig]:
    """Return the models by their positions; of the same position that of the environment is first, then the settings'.

    A row of the admin replaces the settings' model of its name, also by none if it is switched off.
    """
    environment = environment_model()
    of_settings = {row.name: config_of(row) for row in models_of_settings() if row.is_enabled}
    chosen = [environment, *(of_settings | found).values()]
    return sorted(filter(None, chosen), key=lambda config: config.position)
