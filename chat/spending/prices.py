"""Prices of models: the operator's, or those of the package genai-prices, which needs no network."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from django.conf import settings

from chat.models.model_calls import CostKind
from chat.providers.configured import ModelConfig
from common.background import spawn

_MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Price:
    """US dollars for a token."""

    input_usd: Decimal
    output_usd: Decimal
    cached_usd: Decimal
    """For a token of the input that the server had read before."""
    is_of_server: bool = True
    """False where only the model's name is known, not whose server it is."""

    @classmethod
    def per_million(cls, input_usd: Any, output_usd: Any) -> "Price":
        one = Decimal(str(input_usd)) / _MILLION
        return cls(input_usd=one, output_usd=Decimal(str(output_usd)) / _MILLION, cached_usd=one)

    def cost(self, usage: dict[str, int]) -> Decimal:
        cached = min(usage.get("cached_tokens", 0), usage["prompt_tokens"])
        return (
            (usage["prompt_tokens"] - cached) * self.input_usd
            + cached * self.cached_usd
            + usage["completion_tokens"] * self.output_usd
        )


@dataclass(frozen=True, kw_only=True)
class ListedPrice(Price):
    """A price of genai-prices, which may depend on the length of the prompt and on the time of day.

    The prices of a token are those of a short prompt now, to be shown.
    """

    model: str
    server: str | None

    def cost(self, usage: dict[str, int]) -> Decimal:
        from genai_prices import Usage, calc_price

        cached = min(usage.get("cached_tokens", 0), usage["prompt_tokens"])
        tokens = Usage(
            input_tokens=usage["prompt_tokens"], output_tokens=usage["completion_tokens"], cache_read_tokens=cached
        )
        return calc_price(tokens, self.model, provider_api_url=self.server).total_price


def price_of(config: ModelConfig, answered_model: str = "") -> Price | None:
    """Return the price of a configured model, which its server may call by another name; None if none is known.

    The first of: the prices of its row, FABRA_MODEL_PRICES, genai-prices by the server's address, and by name alone.
    """
    if config.prices is not None:
        return Price.per_million(*config.prices)
    names = tuple(name for name in dict.fromkeys((config.model, answered_model)) if name)
    for name in names:
        if name in settings.FABRA_MODEL_PRICES:
            return Price.per_million(*settings.FABRA_MODEL_PRICES[name])
    return _listed(config.base_url, names)


def cost_of(config: ModelConfig, model: str, usage: dict[str, int], *, is_counted_here: bool) -> tuple[Any, CostKind]:
    """Return the cost in US dollars, None if it is unknown, and how well it is known."""
    price = price_of(config, model)
    if price is None:
        return None, CostKind.UNKNOWN
    is_exact = price.is_of_server and not is_counted_here
    return round(price.cost(usage), 9), CostKind.EXACT if is_exact else CostKind.ESTIMATED


def prepare_prices(config: ModelConfig) -> None:
    """Have a model's price looked up in a thread, while it works; only its first answer in a process needs this."""
    if config.name not in _prepared:
        _prepared.add(config.name)
        spawn(asyncio.to_thread(price_of, config), uses_database=False)


_prepared: set[str] = set()


@cache
def _listed(base_url: str, names: tuple[str, ...]) -> ListedPrice | None:
    """Return a price of genai-prices; looking for it takes some milliseconds."""
    # Imported at its first use, in a thread: it takes 0.3 s, which no other command should pay.
    from genai_prices import Usage, calc_price

    usages = [
        Usage(input_tokens=1000, output_tokens=0),
        Usage(input_tokens=1000, output_tokens=1000),
        Usage(input_tokens=1000, output_tokens=0, cache_read_tokens=1000),
    ]
    for server in (base_url, None):
        for name in names:
            try:
                found = [calc_price(usage, name, provider_api_url=server).total_price for usage in usages]
            except LookupError:
                continue
            whole, with_output, cached = found
            return ListedPrice(
                model=name,
                server=server,
                input_usd=whole / 1000,
                output_usd=(with_output - whole) / 1000,
                cached_usd=cached / 1000,
                is_of_server=bool(server),
            )
    return None
