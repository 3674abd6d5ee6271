"""A message's lease of its conversation, held until it is answered: no other message is answered meanwhile."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from chat.models import Conversation
from common.sql.rows import Statement

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.03, 0.25
_RENEW = """
UPDATE chat_conversation SET lease_until = clock_timestamp() + %s
FROM (
    SELECT conversation.id FROM chat_conversation conversation
    JOIN unnest(%s::bigint[], %s::uuid[]) AS lease (id, token)
        ON lease.id = conversation.id AND lease.token = conversation.queue[1]
    FOR UPDATE OF conversation SKIP LOCKED  -- one that is being changed does not hold up the others
) AS held
WHERE chat_conversation.id = held.id
"""


@dataclass(frozen=True, kw_only=True)
class ConversationLease:
    """A message's lease of its conversation, and what that was like when the message came."""

    token: uuid.UUID
    conversation_id: int | None = None
    """None: the message begins a conversation."""
    bot: str = ""
    """The bot of the conversation that the message was sent to; "" without one."""
    state: str = Conversation.State.BOT
    takeovers: int = 0
    has_contact: bool = False
    was_closed: bool = False
    """Whether the conversation that the message was sent to is closed, so that it begins a new one."""
    has_unanswered: bool = False
    """Whether there are messages that a person left unanswered; they are asked together with this one."""
    sent_id: int | None = None
    """The message that was stored under the same client id."""

    @property
    def release_statement(self) -> Statement:
        """The statement that releases the lease to the next message; it ends with its WHERE."""
        return (
            "UPDATE chat_conversation SET queue = array_remove(queue, %s), lease_until = clock_timestamp() + %s "
            "WHERE id = %s",
            [self.token, lease_duration(), self.conversation_id],
        )

    @property
    def lock_statement(self) -> Statement:
        """The statement that locks the conversation, whether or not it still exists."""
        return (
            "SELECT count(*) FROM (SELECT FROM chat_conversation WHERE id = %s FOR UPDATE) AS locked",
            [self.conversation_id],
        )

    @property
    def answered_statement(self) -> Statement:
        """The same for an answer, if nobody has taken over or closed the conversation; it returns the state.

        What a person had left unanswered is answered now.
        """
        return (
            "UPDATE chat_conversation SET unanswered_since = NULL, queue = array_remove(queue, %s), "
            "lease_until = clock_timestamp() + %s WHERE id = %s AND takeovers = %s AND state <> 'closed' "
            "RETURNING state",
            [self.token, lease_duration(), self.conversation_id, self.takeovers],
        )


def lease_duration() -> timedelta:
    return timedelta(seconds=settings.FABRA_CONVERSATION_LEASE_S)


def renew_leases(leases: Sequence[ConversationLease]) -> None:
    values: list[Any] = [
        lease_duration(), [lease.conversation_id for lease in leases], [lease.token for lease in leases],
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, values)


def poll_waits() -> Iterator[float]:
    """Yield the seconds before each look at whether a lease is free: at first often, then four times a second."""
    wait_s = _FIRST_WAIT_S
    while True:
        yield wait_s
        wait_s = min(wait_s * 1.5, _LONGEST_WAIT_S)
