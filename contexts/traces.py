"""Write and read traces: evidence first, outcome later, each durable before anything depends on it."""

import hashlib
import logging
import uuid
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.db.models import Model
from django.utils import timezone
from psycopg.types.json import Jsonb

from common.sql.rows import Statement, write_together
from common.validation import to_json
from contexts.errors import TraceNotWritten
from contexts.models import Trace, TraceBody
from features.errors import OnlineStoreUnavailable
from features.online import OnlineStore

logger = logging.getLogger(__name__)

Messages = list[dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class AssemblyScope:
    """What the caller of an assembly adds to its trace."""

    messages: Callable[[str], Messages] | None = None
    """Makes the exact messages for the model from the context's content."""
    also_save: Callable[[Trace], Sequence[Model | Statement]] | None = None
    """Returns what is written in the statement of the trace."""
    on_commit: Callable[[], None] | None = None


scope: ContextVar[AssemblyScope | None] = ContextVar("assembly_scope", default=None)


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write_trace(trace: Trace, body: dict[str, Any]) -> str:
    """Commit a trace with its body, and what the scope adds; return the body's text.

    Raise TraceNotWritten if PostgreSQL does not take it.
    """
    text = to_json(body, "The trace")
    trace.digest = digest_of(text)
    extra = scope.get()
    try:
        more = extra.also_save(trace) if extra and extra.also_save else ()
        write_together(trace, TraceBody(trace=trace, text=text), *more)
    except DatabaseError as error:
        logger.error("A trace could not be written: %s", type(error).__name__)
        raise TraceNotWritten from error
    if extra and extra.on_commit:
        transaction.on_commit(extra.on_commit)
    return text


_OUTCOME = """
UPDATE contexts_trace SET state = %s, answer = %s, model = %s, outcome = %s, error_code = %s, answered_at = %s
WHERE id = %s
"""


def write_outcome(
    trace_id: str, *, answer: str, model: str, outcome: dict[str, Any], error_code: str = "", more: Sequence[Model] = ()
) -> None:
    """Commit what became of an assembled context, with `more` rows; raise TraceNotWritten if it is not taken."""
    state = Trace.State.FAILED if error_code else Trace.State.ANSWERED
    values = [state, answer, model, Jsonb(outcome), error_code, timezone.now(), trace_id]
    try:
        write_together(*more, (_OUTCOME, values))
    except DatabaseError as error:
        logger.error("An outcome could not be written: %s", type(error).__name__)
        raise TraceNotWritten from error


def as_served(digest: str, text: str) -> str:
    """Return the JSON that the debug endpoint and the online store give: the body and its hash."""
    return f'{{"hash":"{digest}",{text[1:]}'


class TracedOnlineStore(OnlineStore):
    """The online store; `trace:{context_id}` falls back to PostgreSQL, where the trace is durable."""

    async def get(self, key: str) -> str | None:
        prefix, _, context_id = key.partition(":")
        if prefix != "trace":
            return await super().get(key)
        try:
            found = await super().get(key)
        except OnlineStoreUnavailable:
            found = None
        return found or await sync_to_async(load_trace)(context_id)


def load_trace(context_id: str) -> str | None:
    try:
        body = TraceBody.objects.select_related("trace").filter(pk=uuid.UUID(context_id)).first()
    except (ValueError, ValidationError):
        return None
    return as_served(body.trace.digest, body.text) if body else None


async def keep_fast_copy(store: OnlineStore, context_id: str, digest: str, text: str) -> None:
    try:
        await store.set(f"trace:{context_id}", as_served(digest, text), ttl=settings.FABRA_TRACE_CACHE_TTL)
    except OnlineStoreUnavailable:
        logger.warning("Redis does not answer: the trace %s is in PostgreSQL only.", context_id)
