"""The rows of requests with a key: look one up, run it under a lease, and store its answer.

A row without a status belongs to the process that holds its lease. A process that dies renews it no more, and the next
repetition of the request takes it over.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, connection, transaction

from chat.errors import AnswerErased, IdempotencyKeyReused
from chat.idempotency.purge import ERASED
from chat.idempotency.request_key import RequestKey
from chat.models import IdempotentRequest
from chat.turns.lease import lease_duration
from chat.turns.renewal import LeaseRenewal

_LOOK = """
SELECT fingerprint, status, headers, body, leased_until < clock_timestamp()
FROM chat_idempotentrequest WHERE digest = %s
"""
_CLAIM = """
INSERT INTO chat_idempotentrequest (digest, fingerprint, token, leased_until, headers, body, created_at)
VALUES (%s, %s, %s, clock_timestamp() + %s, '{}', '', clock_timestamp())
ON CONFLICT (digest) DO UPDATE SET token = excluded.token, leased_until = excluded.leased_until
WHERE chat_idempotentrequest.status IS NULL
    AND chat_idempotentrequest.leased_until < clock_timestamp()
    AND chat_idempotentrequest.fingerprint = excluded.fingerprint
RETURNING digest
"""
_RENEW = """
UPDATE chat_idempotentrequest SET leased_until = clock_timestamp() + %s
FROM unnest(%s::uuid[]) AS held (token)
WHERE chat_idempotentrequest.token = held.token AND digest = ANY(%s) AND status IS NULL
"""


@dataclass(frozen=True, kw_only=True)
class StoredAnswer:
    status: int
    headers: dict[str, str]
    body: str


@dataclass(kw_only=True, eq=False)
class RequestClaim:
    """The right to run a request, for as long as its lease is renewed."""

    key: RequestKey
    token: uuid.UUID = field(default_factory=uuid.uuid4)
    conversation_id: int | None = None
    """The answer's conversation; the answer is deleted with it."""
    is_answered: bool = False
    """Whether the answer is stored."""

    @property
    def request_id(self) -> uuid.UUID:
        return self.key.request_id


def take(key: RequestKey) -> StoredAnswer | RequestClaim | None:
    """Return the request's answer, or the right to run it; None while another process runs it.

    Raise IdempotencyKeyReused if the key was sent with another request, AnswerErased if what it quoted was purged.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOOK, [key.digest])
        row = cursor.fetchone()
        if row is not None:
            fingerprint, status, headers, body, is_dead = row
            if fingerprint != key.fingerprint:
                raise IdempotencyKeyReused
            if status == ERASED and not body:
                raise AnswerErased
            if status is not None:
                return StoredAnswer(status=status, headers=json.loads(headers), body=body)
            if not is_dead:
                return None
        claim = RequestClaim(key=key)
        values: list[Any] = [key.digest, key.fingerprint, claim.token, lease_duration()]
        cursor.execute(_CLAIM, values)
        return claim if cursor.fetchone() else None


def store(claim: RequestClaim, answer: StoredAnswer) -> bool:
    """Store the answer, and return whether it was: not if the lease was lost.

    Of a conversation that was deleted meanwhile nothing is stored.
    """
    row = IdempotentRequest.objects.filter(digest=claim.key.digest, token=claim.token, status=None)
    try:
        with transaction.atomic():
            is_stored = row.update(
                status=answer.status, headers=answer.headers, body=answer.body, conversation=claim.conversation_id
            )
            if claim.conversation_id is not None:
                with connection.cursor() as cursor:  # a deleted conversation is noticed here, not at the commit
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except IntegrityError:
        if claim.conversation_id is None:
            raise
        release(claim)
        return False
    transaction.on_commit(lambda: setattr(claim, "is_answered", True))
    return bool(is_stored)


def release(claim: RequestClaim) -> None:
    """Give up the right, so that the next repetition of the request runs it."""
    IdempotentRequest.objects.filter(digest=claim.key.digest, token=claim.token, status=None).delete()


def renew(claims: Sequence[RequestClaim]) -> None:
    values: list[Any] = [lease_duration(), [claim.token for claim in claims], [claim.key.digest for claim in claims]]
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, values)


renewal = LeaseRenewal("Requests", renew)
