"""Keep the leases of the requests that this process runs: one statement for all of them, a few times in each lease."""

import logging
import math
import threading
import time

from django.conf import settings
from django.db import DatabaseError, connection

from chat.idempotency.records import RequestClaim, renew

logger = logging.getLogger(__name__)

_RENEWALS = 3
"""In one lease."""


class RequestRenewal:
    """A thread that lives while claims are held; views of both kinds, with an event loop and without, use it."""

    def __init__(self) -> None:
        self._held: dict[RequestClaim, float] = {}
        """The claims, and until when each is renewed, by `time.monotonic()`."""
        self._lock = threading.Lock()
        self._is_running = False

    def add(self, claim: RequestClaim, most_s: float = math.inf) -> None:
        """Keep a claim until it is discarded, for so long at most."""
        with self._lock:
            self._held[claim] = time.monotonic() + most_s
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._renew, name="idempotency", daemon=True).start()

    def discard(self, claim: RequestClaim) -> None:
        with self._lock:
            self._held.pop(claim, None)

    def _renew(self) -> None:
        while True:
            time.sleep(settings.FABRA_TURN_LEASE_S / _RENEWALS)
            with self._lock:
                now = time.monotonic()
                self._held = {claim: until for claim, until in self._held.items() if until > now}
                claims = list(self._held)
                self._is_running = bool(claims)
            if not claims:
                return
            try:
                renew(claims)
            except DatabaseError as error:  # the next attempt is before the leases end
                logger.warning("Leases of requests could not be renewed: %s", type(error).__name__)
            finally:
                connection.close()


renewal = RequestRenewal()
