"""The models that a client may name: the contexts that are declared, enabled, and allowed to its key."""

import inspect
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from chat.access.callers import Caller
from chat.bots.known import require_bot
from chat.openai_api.errors import ModelNotFound
from chat.turns.resolve_context import chat_context
from contexts.registry import contexts, operator_settings

DEFAULT = "default"
"""Names the first model of the list, for clients whose model is set once for several servers."""


@dataclass(frozen=True, kw_only=True)
class OfferedModel:
    id: str
    """The context's name."""
    created: int
    """Unix time of its first declaration; of the function that the settings name, the first of all."""
    description: str
    max_tokens: int | None
    """The context's token budget; None for a function that chooses among contexts."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id, "object": "model", "created": self.created, "owned_by": "fabra",
            "description": self.description, "max_context_tokens": self.max_tokens,
        }  # fmt: skip


async def models_of(caller: Caller) -> list[OfferedModel]:
    """Return the models of a caller, its default one first, which is what `POST /chat` calls: its bot's context, or
    else the first that its key is bound to, or that of the settings.

    Raise BotNotFound for a key whose bot is not there, or switched off.
    """
    rows = await operator_settings.rows()
    bound = caller.key.contexts if caller.key else []
    bot = await require_bot(caller.check_bot(""))
    names = bound or [settings.FABRA_CHAT_CONTEXT, *sorted(set(contexts) - {settings.FABRA_CHAT_CONTEXT})]
    names = sorted(names, key=lambda name: name != (bot.context or names[0]))
    found = [_offered(name, rows) for name in names if rows.get(name, {}).get("is_enabled", True)]
    return [model for model in found if model is not None]


async def require_model(name: str, caller: Caller) -> str:
    """Return the context that a model's name stands for; raise ModelNotFound."""
    offered = [model.id for model in await models_of(caller)]
    if name in offered:
        return name
    if name == DEFAULT and offered:
        return offered[0]
    known = ", ".join(offered) or "none"
    raise ModelNotFound(
        f"The model {name[:100]!r} does not exist, or this key may not use it; GET /v1/models lists: {known}."
    )


def _offered(name: str, rows: dict[str, dict[str, Any]]) -> OfferedModel | None:
    created = [int(row["created_at"].timestamp()) for row in rows.values()]
    if spec := contexts.get(name):
        row = rows.get(name, {})
        return OfferedModel(
            id=name,
            created=int(row["created_at"].timestamp()) if row else min(created, default=0),
            description=spec.description,
            max_tokens=row.get("max_tokens_override") or spec.max_tokens,
        )
    if name != settings.FABRA_CHAT_CONTEXT:
        return None  # its code is gone
    description = inspect.getdoc(chat_context()) or ""
    return OfferedModel(id=name, created=min(created, default=0), description=description, max_tokens=None)
