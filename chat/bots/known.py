"""The bots as a question needs them: each process has a copy, at most two seconds old."""

from dataclasses import dataclass

from django.conf import settings

from chat.errors import BotNotFound
from chat.models import DEFAULT_BOT, Bot
from common.operator_settings import Snapshot

MAX_AGE_S = 2.0
"""How late a process may learn of a change that another one made."""


@dataclass(frozen=True, kw_only=True)
class BotConfig:
    """What a bot answers from; "" stands for what the installation has."""

    slug: str = DEFAULT_BOT
    is_enabled: bool = True
    language: str = ""
    context: str = ""
    """The declared context that it calls; "" for that of the settings."""
    index: str = ""
    """What a context that takes an `index` searches."""
    model: str = ""
    """The model that is asked first, by its name on its server."""


def _load() -> dict[str, BotConfig]:
    rows = Bot.objects.values("slug", "is_enabled", "language", "context", "index", "model")
    return {row["slug"]: BotConfig(**row) for row in rows}


rows: Snapshot[BotConfig] = Snapshot(_load, MAX_AGE_S)


async def require_bot(slug: str) -> BotConfig:
    """Return a bot, the default one for ""; raise BotNotFound for one that is not there, or switched off."""
    slug = slug or DEFAULT_BOT
    found = (await rows.rows()).get(slug)
    if slug == DEFAULT_BOT:
        return found or BotConfig()
    if found is None or not found.is_enabled:
        raise BotNotFound(f"There is no bot {slug[:50]!r}, or it is switched off.")
    return found


def index_of(slug: str) -> str:
    """Return the index that a bot's context searches if it says none itself, where there is no event loop."""
    found = rows.rows_now().get(slug or DEFAULT_BOT)
    return (found.index if found else "") or settings.FABRA_DEFAULT_INDEX
