"""Write and read traces: evidence first, outcome later, each committed before anything depends on it."""

import hashlib
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.db.models import Model
from django.utils import timezone
from psycopg.types.json import Jsonb

from common.background import HEAD_START_S, spawn
from common.sql.rows import Statement, write_together
from common.validation import to_json
from contexts.errors import TraceNotWritten
from contexts.models import Trace, TraceBody
from features.errors import OnlineStoreUnavailable
from features.online import OnlineStore

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class PendingTrace:
    """A trace that is not written yet; its body may still change."""

    trace: Trace
    body: dict[str, Any]
    text: str = ""
    """The body as written."""


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def write(pending: Sequence[PendingTrace], *rows: Model | Statement) -> None:
    """Commit traces together with `rows`, then copy them to the online store; raise TraceNotWritten."""
    await sync_to_async(write_traces)(pending, *rows)
    copy_later(pending)


def write_traces(pending: Sequence[PendingTrace], *rows: Model | Statement, only_if: Statement | None = None) -> bool:
    """Commit traces with their bodies, and `rows`, all or none; raise TraceNotWritten if PostgreSQL refuses.

    Return whether the condition `only_if` held; see `common.sql.rows.write_together`.
    """
    writes: list[Model | Statement] = []
    for pending_trace in pending:
        pending_trace.text = text = to_json(pending_trace.body, "The trace")
        trace = pending_trace.trace
        trace.digest = digest_of(text)
        writes += [trace, TraceBody(trace=trace, text=text)]
    try:
        return write_together(*writes, *rows, only_if=only_if) is not None if writes or rows else True
    except DatabaseError as error:
        logger.error("A trace could not be written: %s", type(error).__name__)
        raise TraceNotWritten from error


def copy_later(pending: Sequence[PendingTrace]) -> None:
    """Copy written traces to the online store a little later; until then PostgreSQL serves them."""
    for pending_trace in pending:
        trace = pending_trace.trace
        copy = keep_fast_copy(str(trace.pk), trace.digest, pending_trace.text)
        spawn(copy, uses_database=False, after_s=HEAD_START_S)


# A trace has one outcome: the first that is committed.
_OUTCOME = """
UPDATE contexts_trace SET state = %s, answer = %s, model = %s, outcome = %s, error_code = %s, answered_at = %s
WHERE id = ({trace_id}) AND state = 'assembled' /* if held */ RETURNING id
"""


def write_outcome(
    trace_id: str,
    *,
    answer: str,
    model: str,
    outcome: dict[str, Any],
    error_code: str = "",
    more: Sequence[Model | Statement] = (),
    only_if: Statement | None = None,
) -> Any:
    """Commit the outcome of an assembled context, with `more`; raise TraceNotWritten if PostgreSQL refuses.

    Return what `only_if` returned, or True without one; see `common.sql.rows.write_together`. Return None, with nothing
    written, if its condition did not hold, or the trace has an outcome already.
    """
    statement = _outcome_statement(("%s", [trace_id]), answer, model, outcome, error_code)
    try:
        return write_together(*more, only_if=only_if, and_if=statement)
    except DatabaseError as error:
        logger.error("An outcome could not be written: %s", type(error).__name__)
        raise TraceNotWritten from error


def failure_statement(trace_id: Statement, error_code: str) -> Statement:
    """Return the statement that ends an assembled context without an answer, to be written together with other rows.

    `trace_id` is an expression, such as a subquery: the caller's tables know which trace it is.
    """
    return _outcome_statement(trace_id, "", "", {"error": error_code}, error_code)


def _outcome_statement(
    trace_id: Statement, answer: str, model: str, outcome: dict[str, Any], error_code: str
) -> Statement:
    expression, found_by = trace_id
    state = Trace.State.FAILED if error_code else Trace.State.ANSWERED
    values = [state, answer, model, Jsonb(outcome), error_code, timezone.now(), *found_by]
    return _OUTCOME.format(trace_id=expression), values


def move_traces(user_id: str, to: str) -> int:
    """List the traces of a user under another id, since both are one person; what they say of it stays as it was."""
    return Trace.objects.filter(user_id=user_id).update(user_id=to)


def as_served(digest: str, text: str) -> str:
    """Return the JSON that the debug endpoint and the online store serve: the body with its hash."""
    return f'{{"hash":"{digest}",{text[1:]}'


class TracedOnlineStore(OnlineStore):
    """The online store; `trace:{context_id}` falls back to PostgreSQL, which has every trace."""

    async def get(self, key: str) -> str | None:
        prefix, _, context_id = key.partition(":")
        if prefix != "trace":
            return await super().get(key)
        try:
            found = await super().get(key)
        except OnlineStoreUnavailable:
            found = None
        return found or await sync_to_async(load_trace)(context_id)


online_store = TracedOnlineStore()


def load_trace(context_id: str) -> str | None:
    try:
        body = TraceBody.objects.select_related("trace").filter(pk=uuid.UUID(context_id)).first()
    except (ValueError, ValidationError):
        return None
    return as_served(body.trace.digest, body.text) if body else None


async def keep_fast_copy(context_id: str, digest: str, text: str) -> None:
    try:
        await online_store.set(f"trace:{context_id}", as_served(digest, text), ttl=settings.FABRA_TRACE_CACHE_TTL)
    except OnlineStoreUnavailable:
        logger.warning("Redis does not answer: the trace %s is in PostgreSQL only.", context_id)
