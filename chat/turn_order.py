"""One answer at a time in a conversation: messages wait for their turn in the order in which they arrived.

The queue is the conversation's column `turns`, so it holds across processes and needs no Redis. Who waits asks every
so often, and holds neither a connection nor a thread between two questions. The first in the queue has the turn until
`turn_until`, which it renews while it works: a crash frees the turn.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, connection

from chat.errors import ConversationNotFound, DeadlineExceeded
from chat.models import Conversation
from chat.places import Place, lease
from chat.turns import Question
from common.background import release_thread, spawn, with_own_thread
from common.sql.rows import Statement

logger = logging.getLogger(__name__)

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.03, 0.25
_RENEWALS = 3
"""In one lease."""


async def take_turn(question: Question, deadline: float) -> Place:
    """Return when it is the message's turn; raise ConversationNotFound, or DeadlineExceeded.

    A message that begins a conversation has the turn at once, without a query, and so has one for a person: nobody
    waits for what people write. The caller gives the turn back, by `lets_go` or `leave`.
    """
    token = uuid.uuid4()
    if question.conversation_id is None:
        return Place(token=token)
    place = await sync_to_async(_join)(question, token)
    if place is not None:
        return place
    release_thread()
    try:
        async with asyncio.timeout_at(deadline):
            return await _wait(question, token)
    except BaseException as error:
        leave_soon(Place(token=token, conversation_id=question.conversation_id))
        if isinstance(error, TimeoutError):
            raise DeadlineExceeded from error
        raise


def leave_soon(place: Place) -> None:
    """Give the turn back, or leave the queue, in a task of its own: the caller may be cancelled."""
    if place.conversation_id is not None:
        spawn(sync_to_async(_run)(place.lets_go))


async def leave(place: Place) -> None:
    """Give the turn back."""
    if place.conversation_id is not None:
        await sync_to_async(_run)(place.lets_go)


@asynccontextmanager
async def renewed(place: Place) -> AsyncIterator[None]:
    """Keep the turn during the block, however long it takes."""
    task = asyncio.get_running_loop().create_task(_renew(place))
    try:
        yield
    finally:
        task.cancel()


async def _renew(place: Place) -> None:
    renewal: Statement = (
        "UPDATE chat_conversation SET turn_until = clock_timestamp() + %s WHERE id = %s AND turns[1] = %s",
        [lease(), place.conversation_id, place.token],
    )
    while True:
        await asyncio.sleep(settings.FABRA_TURN_LEASE_S / _RENEWALS)
        await with_own_thread(sync_to_async(_run)(renewal))


async def _wait(question: Question, token: uuid.UUID) -> Place:
    wait_s = _FIRST_WAIT_S
    while True:
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 1.5, _LONGEST_WAIT_S)
        place = await with_own_thread(sync_to_async(_ask)(question, token))
        if place is not None:
            return place


# An entry whose lease has ended belonged to a process that died: the queue goes on behind it.
_ALIVE = "CASE WHEN turn_until < clock_timestamp() THEN turns[2:] ELSE turns END"
_SEEN = """
    state, takeovers, contact <> '', turns[1] = %(token)s,
    (SELECT id FROM chat_message WHERE user_id = %(user_id)s AND client_id = %(client_id)s)
"""
_JOIN = f"""
UPDATE chat_conversation SET
    turns = CASE WHEN state IN ('person', 'closed') THEN turns ELSE array_append({_ALIVE}, %(token)s) END,
    turn_until = CASE WHEN cardinality({_ALIVE}) = 0 OR turn_until < clock_timestamp()
                      THEN clock_timestamp() + %(lease)s ELSE turn_until END
WHERE id = %(id)s AND user_id = %(user_id)s
RETURNING {_SEEN}
"""  # noqa: S608 (all of it is written here)
_PASS_OVER_THE_DEAD = f"""
UPDATE chat_conversation SET turns = {_ALIVE}, turn_until = clock_timestamp() + %(lease)s
WHERE id = %(id)s AND turn_until < clock_timestamp() AND turns[1] <> %(token)s
"""  # noqa: S608
_ASK = f"""
SELECT {_SEEN}, %(token)s = ANY(turns), turn_until < clock_timestamp() FROM chat_conversation
WHERE id = %(id)s AND user_id = %(user_id)s
"""  # noqa: S608


def _join(question: Question, token: uuid.UUID) -> Place | None:
    """Enter the queue; return the place if the turn is the message's, otherwise None."""
    with connection.cursor() as cursor:
        cursor.execute(_JOIN, _values(question, token))
        row = cursor.fetchone()
    place = _place(question, token, row)
    if place is None and settings.IS_WEB:
        connection.close()  # it returns to the pool while the message waits
    return place


def _ask(question: Question, token: uuid.UUID) -> Place | None:
    values = _values(question, token)
    with connection.cursor() as cursor:
        cursor.execute(_ASK, values)
        row = cursor.fetchone()
        if row is None:
            raise ConversationNotFound
        *seen, is_queued, is_dead = row
        if not is_queued:  # a person took over, and ended all turns
            return _join(question, token)
        place = _place(question, token, seen)
        if place is None and is_dead:
            cursor.execute(_PASS_OVER_THE_DEAD, values)
    return place


def _values(question: Question, token: uuid.UUID) -> dict[str, Any]:
    return {
        "token": token,
        "lease": lease(),
        "id": question.conversation_id,
        "user_id": question.user_id,
        "client_id": question.client_id,
    }


def _place(question: Question, token: uuid.UUID, row: object) -> Place | None:
    """Return the place that a row of `_SEEN` describes; None if it is another message's turn."""
    if not isinstance(row, tuple | list):
        raise ConversationNotFound
    state, takeovers, has_contact, is_first, sent_id = row
    place = Place(
        token=token, conversation_id=question.conversation_id, state=state, takeovers=takeovers,
        has_contact=has_contact, sent_id=sent_id,
    )  # fmt: skip
    if state == Conversation.State.CLOSED:
        # What was sent before the closing is answered with what was stored then; else a new conversation begins.
        return place if sent_id else Place(token=token, was_closed=True)
    return place if is_first or state == Conversation.State.PERSON else None


def _run(statement: Statement) -> None:
    """Run a statement on the queue; if PostgreSQL does not answer, the lease's end has the same effect."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(*statement)
    except DatabaseError as error:
        logger.warning("A turn could not be given back or kept: %s", type(error).__name__)
