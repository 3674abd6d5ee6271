"""One answer at a time in a conversation: messages wait in the order in which they arrived.

The queue is a column of the conversation, so it holds across processes and needs no Redis. A message that waits
polls it, and holds neither a connection nor a thread between two polls. The first in the queue has the lease until
`lease_until`, which it renews while it works: a crash frees the conversation.
"""

import asyncio
import logging
import uuid
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, connection

from chat.errors import ConversationNotFound, DeadlineExceeded
from chat.models import Conversation
from chat.turns.lease import ConversationLease, lease_duration, poll_waits
from chat.turns.turn import Question
from common.background import release_thread, spawn, with_own_thread
from common.sql.rows import Statement

logger = logging.getLogger(__name__)


async def acquire_lease(
    question: Question, deadline: float, before: ConversationLease | None = None
) -> ConversationLease:
    """Return the message's lease, when it is the first in the queue; raise ConversationNotFound, or DeadlineExceeded.

    A message that begins a conversation has the lease at once, without a query, and so has one for a person: nobody
    waits for what people write, but for messages that came before a person did. The caller releases it, by `release`
    or its statement.

    `before` is the lease that the message has had, with its position in the queue: the conversation has changed hands
    since.
    """
    token = before.token if before else uuid.uuid4()
    if question.conversation_id is None:
        return ConversationLease(token=token)
    try:
        lease = await sync_to_async(_poll if before else _join)(question, token)
        if lease is not None:
            return lease
        release_thread()
        async with asyncio.timeout_at(deadline):
            return await _wait(question, token)
    except BaseException as error:
        release_soon(ConversationLease(token=token, conversation_id=question.conversation_id))
        if isinstance(error, TimeoutError):
            raise DeadlineExceeded from error
        raise


def release_soon(lease: ConversationLease) -> None:
    """Release the lease, or leave the queue, in a task of its own: the caller may be cancelled."""
    if lease.conversation_id is not None:
        spawn(sync_to_async(_run)(lease.release_statement))


async def release(lease: ConversationLease) -> None:
    """Release the lease."""
    if lease.conversation_id is not None:
        await sync_to_async(_run)(lease.release_statement)


async def _wait(question: Question, token: uuid.UUID) -> ConversationLease:
    waits = poll_waits()
    while True:
        await asyncio.sleep(next(waits))
        lease = await with_own_thread(sync_to_async(_poll)(question, token))
        if lease is not None:
            return lease


# An entry whose lease has ended belonged to a process that died: the queue goes on behind it.
_ALIVE = "CASE WHEN lease_until < clock_timestamp() THEN queue[2:] ELSE queue END"
_SEEN = """
    state, takeovers, contact <> '', queue[1] = %(token)s, cardinality(queue) = 0, bot, unanswered_since IS NOT NULL,
    (SELECT id FROM chat_message WHERE user_id = %(user_id)s AND client_id = %(client_id)s)
"""
_OWN = "id = %(id)s AND user_id = %(user_id)s AND (bot = %(bot)s OR %(bot)s = '')"
_JOIN = f"""
UPDATE chat_conversation SET
    queue = CASE WHEN state = 'closed' OR state = 'person' AND cardinality({_ALIVE}) = 0 THEN {_ALIVE}
                 ELSE array_append({_ALIVE}, %(token)s) END,
    lease_until = CASE WHEN cardinality({_ALIVE}) = 0 OR lease_until < clock_timestamp()
                      THEN clock_timestamp() + %(lease)s ELSE lease_until END
WHERE {_OWN}
RETURNING {_SEEN}
"""  # noqa: S608 (all of it is written here)
_PASS_OVER_THE_DEAD = f"""
UPDATE chat_conversation SET queue = {_ALIVE}, lease_until = clock_timestamp() + %(lease)s
WHERE id = %(id)s AND lease_until < clock_timestamp() AND queue[1] <> %(token)s
"""  # noqa: S608
_POLL = f"""
SELECT {_SEEN}, %(token)s = ANY(queue), lease_until < clock_timestamp() FROM chat_conversation
WHERE {_OWN}
"""  # noqa: S608


def _join(question: Question, token: uuid.UUID) -> ConversationLease | None:
    """Enter the queue; return the lease if the message is the first, otherwise None."""
    with connection.cursor() as cursor:
        cursor.execute(_JOIN, _values(question, token))
        row = cursor.fetchone()
    lease = _lease_of(question, token, row)
    if lease is None and settings.FABRA_WEB:
        connection.close()  # it returns to the pool while the message waits
    return lease


def _poll(question: Question, token: uuid.UUID) -> ConversationLease | None:
    """Return the lease if the message is the first by now, otherwise None; pass over one whose process died."""
    values = _values(question, token)
    with connection.cursor() as cursor:
        cursor.execute(_POLL, values)
        row = cursor.fetchone()
        if row is None:
            raise ConversationNotFound
        *seen, is_queued, is_dead = row
        if not is_queued:  # a person took over and ended its lease, or it was taken for dead
            return _join(question, token)
        lease = _lease_of(question, token, seen)
        if lease is None and is_dead:
            cursor.execute(_PASS_OVER_THE_DEAD, values)
    return lease


def _values(question: Question, token: uuid.UUID) -> dict[str, Any]:
    return {
        "token": token,
        "lease": lease_duration(),
        "id": question.conversation_id,
        "user_id": question.user_id,
        "bot": question.bot,
        "client_id": question.client_id,
    }


def _lease_of(question: Question, token: uuid.UUID, row: object) -> ConversationLease | None:
    """Return the lease that a row of `_SEEN` describes; None if another message is the first."""
    if not isinstance(row, tuple | list):
        raise ConversationNotFound
    state, takeovers, has_contact, is_first, is_free, bot, has_unanswered, sent_id = row
    lease = ConversationLease(
        token=token, conversation_id=question.conversation_id, bot=bot, state=state, takeovers=takeovers,
        has_contact=has_contact, has_unanswered=has_unanswered, sent_id=sent_id,
    )  # fmt: skip
    if state == Conversation.State.CLOSED:
        # What was sent before the closing is answered with what was stored then; else a new conversation begins.
        return lease if sent_id else ConversationLease(token=token, was_closed=True, bot=bot)
    return lease if is_first or (is_free and state == Conversation.State.PERSON) else None


def _run(statement: Statement) -> None:
    """Run a statement on the queue; if PostgreSQL does not answer, the lease's end has the same effect."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(*statement)
    except DatabaseError as error:
        logger.warning("A lease could not be released or renewed: %s", type(error).__name__)
