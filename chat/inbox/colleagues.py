"""To whom an agent can pass a conversation on."""

from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from django.db.models import Count

from chat.access.colleagues import colleagues
from chat.live import presence
from chat.live.bodies import staff_name_of
from chat.models import Conversation
from common.redis import REDIS_ERRORS


@dataclass(frozen=True, kw_only=True)
class Colleague:
    """Somebody to whom a conversation can be passed on."""

    pk: Any
    name: str
    held: int
    """How many conversations they hold."""
    is_here: bool | None
    """Whether they use the inbox now; None if Redis does not tell."""


def colleagues_of(agent: Any, holder_pk: Any = None) -> list[Colleague]:
    """Return who may answer customers, but for the holder of the conversation, those who are there first.

    The agent is one of them, who may take what another holds.
    """
    found = [user for user in colleagues() if user.pk != holder_pk]
    of_them = Conversation.objects.filter(state=Conversation.State.PERSON, agent__in=found).order_by()
    held = dict(of_them.values_list("agent").annotate(held=Count("pk")))
    here = _are_here([user.pk for user in found])
    rows = [
        Colleague(
            pk=user.pk, name="yourself" if user.pk == agent.pk else str(staff_name_of(user)), held=held.get(user.pk, 0),
            is_here=here.get(user.pk),
        )
        for user in found
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (not row.is_here, row.pk == agent.pk, row.held))


def _are_here(pks: list[Any]) -> dict[Any, bool]:
    try:
        here = async_to_sync(presence.are_here)([presence.agent(pk) for pk in pks])
    except REDIS_ERRORS:
        return {}
    return {pk: here[presence.agent(pk)] for pk in pks}
