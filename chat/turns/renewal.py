"""Renew the leases that this process holds: one statement for all of a kind, a few times in each lease."""

import logging
import math
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from django.db import DatabaseError, connection

from chat.turns.lease import ConversationLease, lease_duration, renew_leases

logger = logging.getLogger(__name__)

Lease = TypeVar("Lease", bound=Hashable)
_RENEWALS = 3
"""In one lease."""


class LeaseRenewal(Generic[Lease]):
    """A thread that lives while leases are held; callers with an event loop and without use it alike."""

    def __init__(self, name: str, renew: Callable[[Sequence[Lease]], object]) -> None:
        self._name = name
        self._renew = renew
        self._held: dict[Lease, float] = {}
        """The leases, and until when each is renewed, by `time.monotonic()`."""
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, lease: Lease, most_s: float = math.inf) -> None:
        """Renew a lease until it is discarded, for so long at most."""
        with self._change:
            self._held[lease] = time.monotonic() + most_s
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def discard(self, lease: Lease) -> None:
        with self._change:
            self._held.pop(lease, None)
            if not self._held:
                self._change.notify()

    def _run(self) -> None:
        while leases := self._next():
            try:
                self._renew(leases)
            except DatabaseError as error:  # the next attempt is before the leases end
                logger.warning("%s could not be renewed: %s", self._name, type(error).__name__)
            finally:
                connection.close()

    def _next(self) -> list[Lease]:
        """Wait until it is time to renew what is held, and return that; return [] as soon as nothing is."""
        with self._change:
            self._change.wait_for(lambda: not self._held, lease_duration().total_seconds() / _RENEWALS)
            now = time.monotonic()
            self._held = {lease: until for lease, until in self._held.items() if until > now}
            if not self._held:
                self._thread = None
            return list(self._held)


_leases = LeaseRenewal("Leases", renew_leases)


@contextmanager
def renewed(lease: ConversationLease) -> Iterator[None]:
    """Renew the lease during the block, however long it takes; a new conversation has no other message yet."""
    if lease.conversation_id is None:
        yield
        return
    _leases.add(lease)
    try:
        yield
    finally:
        _leases.discard(lease)
