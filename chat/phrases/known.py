"""The operator's phrases as a question needs them: each process has a copy, at most half a minute old."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

from chat.models import LanguagePhrases
from common.operator_settings import Snapshot

MAX_AGE_S = 30.0
"""How late a process may learn of a change that another one made; so few chats wait for the query."""


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """What an operator added for one language."""

    language: str
    wishes: tuple[str, ...] = ()
    """Phrases of who asks for a person."""
    greetings: tuple[str, ...] = ()
    thanks: tuple[str, ...] = ()
    goodbyes: tuple[str, ...] = ()
    approvals: tuple[str, ...] = ()
    fillers: tuple[str, ...] = ()
    not_known: tuple[str, ...] = ()
    """Phrases of a model that says that it does not know."""
    greeting_reply: str = ""
    thanks_reply: str = ""
    goodbye_reply: str = ""
    approval_reply: str = ""


def _load() -> dict[str, Phrases]:
    found = LanguagePhrases.objects.values(*(field.name for field in fields(Phrases)))
    return {row["language"]: Phrases(**_frozen(row)) for row in found}


def _frozen(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with its lists as tuples, so that what is made of the phrases can be kept by them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


rows: Snapshot[Phrases] = Snapshot(_load, MAX_AGE_S)


async def read_phrases() -> None:
    """Read the phrases if they are due; then `known_phrases` has them without waiting."""
    await rows.rows()


def known_phrases() -> tuple[Phrases, ...]:
    """Return the phrases of every language, as they were read last."""
    return tuple(rows.known.values())


def not_known_phrases() -> Collection[str]:
    return [phrase for phrases in rows.known.values() for phrase in phrases.not_known]
