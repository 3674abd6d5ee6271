"""Methods of views whose requests may be repeated: `idempotent` for asynchronous ones, `idempotent_now` for others."""

import asyncio
import functools
import itertools
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection, transaction
from django.http import HttpResponse, StreamingHttpResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from chat.errors import IdempotencyInProgress
from chat.idempotency.records import RequestClaim, StoredAnswer, release, renewal, store, take
from chat.idempotency.request_key import RequestKey, key_of
from chat.turns.lease import poll_waits
from common.background import release_thread, spawn, with_own_thread
from common.guarded_stream import GuardedStream

REPLAYED = "Idempotent-Replayed"
_LONGEST_ANSWERS = 2
"""A request is kept from its repetitions for so many times as long as an answer may take."""
_KEPT_HEADERS = ("ETag", "X-Fabra-Freshness", "X-Fabra-Ignored", "X-Request-Id")
# The client has to change something before another answer is possible. What depends on rights, limits or load is not
# stored, nor what failed on our side: a repetition then runs.
_DEFINITE = frozenset({400, 404, 410, 412, 413, 415, 422})
# Of those statuses, what an operator changes: the request is then answered as it is.
_PASSING = frozenset({"bot_not_found", "context_disabled", "index_not_found", "model_not_found"})


@dataclass(frozen=True, kw_only=True)
class StreamFormat:
    """How the events of a stream are kept, to be told again."""

    is_end: Callable[[bytes], bool]
    """Whether the event says that the answer is complete."""
    whole: Callable[[Sequence[bytes]], bytes]
    """Returns what is kept of all events up to the end."""


CHAT_EVENTS = StreamFormat(
    is_end=lambda event: event.startswith((b"event: done", b"event: stopped")),
    whole=lambda events: b"".join(event for event in events if not event.startswith(b"event: delta")),
)
AsyncMethod = Callable[[Any, Request, RequestClaim | None], Awaitable[Any]]
Method = Callable[..., Any]
"""Called with the view, the request, the claim, and what the address names."""


def idempotent(
    method: AsyncMethod, stream_format: StreamFormat = CHAT_EVENTS
) -> Callable[[Any, Request], Awaitable[Any]]:
    """Give the stored answer to a request whose key was sent before, or run the method with its claim.

    While another process runs the request this one waits, up to FABRA_IDEMPOTENCY_WAIT, without a thread or a
    connection. Raise IdempotencyKeyInvalid, IdempotencyKeyReused, IdempotencyInProgress.
    """

    @functools.wraps(method)
    async def run(view: Any, request: Request) -> Any:
        if (key := key_of(request)) is None:
            return await method(view, request, None)
        taken = await _wait(key)
        if isinstance(taken, StoredAnswer):
            return _replay(taken)
        renewal.add(taken, most_s=_LONGEST_ANSWERS * settings.FABRA_CHAT_DEADLINE_S)
        try:
            try:
                response = await method(view, request, taken)
            except Exception as error:
                response = view.handle_exception(error)
            if isinstance(response, StreamingHttpResponse):
                stream = cast(AsyncIterator[bytes], response.streaming_content)
                watched = _watched(stream, response, taken, stream_format)
                response.streaming_content = GuardedStream(watched, partial(_give_up, taken))
                return response
            await sync_to_async(_store_or_release)(taken, response)
        except BaseException:  # the client is gone, or PostgreSQL is
            renewal.discard(taken)
            spawn(sync_to_async(release)(taken))
            raise
        renewal.discard(taken)
        return response

    return run


def idempotent_now(*, is_atomic: bool = False, echoed: Collection[str] = ()) -> Callable[[Method], Callable[..., Any]]:
    """Do the same for a synchronous method, whose thread waits.

    With `is_atomic` the method and the storing of its answer are one transaction, so that a crash leaves both or none;
    a method with a transaction of its own calls `store_answer` in it.
    `echoed` are fields of the answer that repeat the request's: they are not stored, but taken from its repetition.
    """

    def decorate(method: Method) -> Callable[..., Any]:
        @functools.wraps(method)
        def run(view: Any, request: Request, **names: Any) -> Any:
            if (key := key_of(request)) is None:
                return method(view, request, None, **names)
            taken = _wait_here(key)
            if isinstance(taken, StoredAnswer):
                return _replay(taken, _echo(request, echoed))
            renewal.add(taken)
            try:
                try:
                    with transaction.atomic() if is_atomic else nullcontext():
                        response = method(view, request, taken, **names)
                        _store_or_release(taken, response, _echo(request, echoed), is_needed=is_atomic)
                except Exception as error:
                    response = view.handle_exception(error)
                    _store_or_release(taken, response)
            finally:
                renewal.discard(taken)
            return response

        return run

    return decorate


async def _wait(key: RequestKey) -> StoredAnswer | RequestClaim:
    taken = await sync_to_async(_look)(key)
    if taken is not None:
        return taken
    release_thread()
    for wait_s in _waits():
        await asyncio.sleep(wait_s)
        taken = await with_own_thread(sync_to_async(take)(key))
        if taken is not None:
            return taken
    raise IdempotencyInProgress


def _wait_here(key: RequestKey) -> StoredAnswer | RequestClaim:
    taken = _look(key)
    if taken is not None:
        return taken
    for wait_s in _waits():
        time.sleep(wait_s)
        taken = _look(key)
        if taken is not None:
            return taken
    raise IdempotencyInProgress


def _waits() -> Iterator[float]:
    give_up_at = time.monotonic() + settings.FABRA_IDEMPOTENCY_WAIT_S
    return itertools.takewhile(lambda _: time.monotonic() < give_up_at, poll_waits())


def _look(key: RequestKey) -> StoredAnswer | RequestClaim | None:
    taken = take(key)
    if taken is None and settings.FABRA_WEB:
        connection.close()  # it returns to the pool while the request waits
    return taken


def _echo(request: Request, names: Collection[str]) -> dict[str, Any]:
    data = cast(dict[str, Any], request.data) if names else {}
    return {name: data[name] for name in names if name in data}


def store_answer(claim: RequestClaim, response: HttpResponse) -> None:
    """Store the answer in the caller's transaction, which is undone if another process has taken the request over."""
    _store_or_release(claim, response, is_needed=True)


def _store_or_release(
    claim: RequestClaim, response: HttpResponse, echo: Collection[str] = (), *, is_needed: bool = False
) -> None:
    """Store the answer, or give up the claim if a repetition of the request may have another one.

    Raise IdempotencyInProgress if it is needed and the lease was lost.
    """
    if claim.is_answered:
        return
    if response.status_code >= 300 and (response.status_code not in _DEFINITE or _code_of(response) in _PASSING):
        release(claim)
        return
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    if isinstance(response, Response):
        body = JSONRenderer().render({name: value for name, value in response.data.items() if name not in echo})
        headers["Content-Type"] = JSONRenderer.media_type
    else:
        body = response.content
        headers["Content-Type"] = response.headers["Content-Type"]
    answer = StoredAnswer(status=response.status_code, headers=headers, body=body.decode())
    if not store(claim, answer) and is_needed:
        raise IdempotencyInProgress


def _code_of(response: HttpResponse) -> str:
    """Return the code of an error, which any view may have answered in its own way."""
    data = response.data if isinstance(response, Response) else {}
    error = data.get("error") if isinstance(data, dict) else None
    return str(error.get("code", "")) if isinstance(error, dict) else ""


async def _watched(
    stream: AsyncIterator[bytes], response: StreamingHttpResponse, claim: RequestClaim, stream_format: StreamFormat
) -> AsyncGenerator[bytes, None]:
    """Yield the stream, and store it before its end is sent."""
    sent: list[bytes] = []
    is_stored = False
    try:
        async with aclosing(stream) as events:  # type: ignore[type-var]
            async for event in events:
                sent.append(event)
                if stream_format.is_end(event):
                    body = stream_format.whole(sent)
                    whole = HttpResponse(body, status=response.status_code, headers=response.headers)
                    await sync_to_async(_store_or_release)(claim, whole)
                    is_stored = True
                yield event
    finally:
        renewal.discard(claim)
        if not is_stored:
            spawn(sync_to_async(release)(claim))


async def _give_up(claim: RequestClaim) -> None:
    """Leave a request whose stream nobody reads to its next repetition."""
    renewal.discard(claim)
    await sync_to_async(release)(claim)


def _replay(answer: StoredAnswer, echo: dict[str, Any] | None = None) -> HttpResponse:
    is_filled = bool(echo) and answer.status < 300
    body = JSONRenderer().render(json.loads(answer.body) | (echo or {})) if is_filled else answer.body
    return HttpResponse(body, status=answer.status, headers=answer.headers | {REPLAYED: "true"})
