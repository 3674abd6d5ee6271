"""The way of a bulk request: the loop reads lines, a thread applies them, and the loop sends their answers."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterator

from django.conf import settings
from django.db import connections
from rest_framework.exceptions import APIException

from chat.api.bulk.accept import accept_in_bulk
from chat.api.bulk.exchange import LineExchange
from chat.api.bulk.lines import LineResult, Writer, answer_of, lines_of, operation_of
from chat.api.parsers import RequestTooLarge
from chat.audit.entries import record
from chat.errors import BulkBusy
from common.errors import InvalidInput
from common.streamed_body import BodyTooLarge
from retrieval.indexing.operations import Delete, Operation, apply_in_bulk

logger = logging.getLogger(__name__)
_MOST_NAMED = 20


class BodyTimeout(APIException):
    status_code = 408
    default_detail = "The next line did not come in time."
    default_code = "request_timeout"


class Slots:
    """How many bulk requests this process works on, since each needs a core for its embeddings."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0

    def check(self) -> None:
        """Raise BulkBusy where none is free."""
        if self._taken >= settings.FABRA_BULK_STREAMS:
            raise BulkBusy

    def take(self) -> None:
        with self._lock:
            self.check()
            self._taken += 1

    def give_back(self) -> None:
        with self._lock:
            self._taken -= 1


slots = Slots()


async def answers_to(body: AsyncIterable[bytes], writer: Writer) -> AsyncIterator[bytes]:
    """Yield the answers to the lines of a body, in their order.

    A caller that stops reading leaves what was not begun; a batch that was begun is completed in its thread.
    """
    exchange = LineExchange()
    reading = asyncio.ensure_future(_read(body, exchange))
    working = asyncio.ensure_future(asyncio.to_thread(_work, exchange, writer))
    working.add_done_callback(_log_failure)
    try:
        async for piece in exchange.answers():
            yield piece
        if reading.done() and not reading.cancelled() and (error := reading.exception()):
            yield answer_of(None, None, _told(error))
    finally:
        exchange.close()
        reading.cancel()


async def _read(body: AsyncIterable[bytes], exchange: LineExchange) -> None:
    try:
        async for lines in lines_of(body):
            await exchange.put(lines)
    finally:
        exchange.end()


def _told(error: BaseException) -> Exception:
    if isinstance(error, TimeoutError):
        return BodyTimeout()
    if isinstance(error, BodyTooLarge):
        return RequestTooLarge(f"A bulk request has at most {settings.FABRA_BULK_MAX_BYTES:,} bytes.")
    return error if isinstance(error, Exception) else BodyTimeout()


def _work(exchange: LineExchange, writer: Writer) -> None:
    try:
        slots.take()
    except BulkBusy as error:
        exchange.answer(answer_of(None, None, error))
        exchange.finish()
        return
    try:
        _Answers(exchange, writer).give()
    finally:
        slots.give_back()
        exchange.finish()
        connections.close_all()


class _Answers:
    """Gives the answers in the order of the lines, whichever is known first."""

    def __init__(self, exchange: LineExchange, writer: Writer) -> None:
        self._exchange, self._writer = exchange, writer
        self._order: deque[int] = deque()
        self._ids: dict[int, str | None] = {}
        self._known: dict[int, LineResult] = {}
        self._deleted: list[str] = []
        """What is being deleted and has no audit entry yet."""

    def give(self) -> None:
        writer, operations = self._writer, self._operations()
        try:
            if writer.waits:
                for number, result in apply_in_bulk(writer.index_name, operations):
                    self._report(number, result)
            else:
                for number, accepted in accept_in_bulk(writer.index_name, operations, sender=writer.author):
                    self._report(number, accepted)
        except Exception as error:  # whatever it is, the client learns that the rest was not applied
            self._send_known()
            self._exchange.answer(answer_of(None, None, error))
        self._send_known()

    def _operations(self) -> Iterator[Operation | None]:
        for line in self._exchange.lines():
            if line is None:
                yield None
                continue
            self._order.append(line[0])
            self._ids[line[0]] = None
            try:
                operation = operation_of(line, self._writer)
            except (InvalidInput, APIException) as error:
                self._report(line[0], error)
                continue
            self._ids[line[0]] = operation.entity_id
            if isinstance(operation, Delete):
                self._deleted.append(operation.entity_id)
            yield operation

    def _report(self, number: int, result: LineResult) -> None:
        self._known[number] = result
        self._record_deletions()  # of all that came together, before the first of them is answered
        self._send_known()

    def _record_deletions(self) -> None:
        ids, self._deleted = self._deleted, []
        if ids and self._writer.caller is not None:
            shown = ", ".join([*ids[:_MOST_NAMED], *(["…"] if len(ids) > _MOST_NAMED else [])])
            record(
                **self._writer.caller, action="delete", target=f"documents of {self._writer.index_name}: {shown}",
                endpoint="documents-bulk", method="POST", status=200, detail=f"{len(ids)} documents",
            )  # fmt: skip

    def _send_known(self) -> None:
        while self._order and self._order[0] in self._known:
            number = self._order.popleft()
            self._exchange.answer(answer_of(number, self._ids.pop(number), self._known.pop(number)))


def _log_failure(working: "asyncio.Future[None]") -> None:
    if not working.cancelled() and (error := working.exception()):
        logger.error("A bulk request ended with %s", type(error).__name__)
