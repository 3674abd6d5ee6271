"""Settings that an operator changed in the admin, as a snapshot that each process reloads every few seconds."""

import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError

T = TypeVar("T")
logger = logging.getLogger(__name__)

MAX_AGE_S = 3.0


class Snapshot(Generic[T]):
    """A small mapping, read from PostgreSQL at most every `max_age_s` seconds.

    While PostgreSQL does not answer, the last mapping remains in use.
    """

    def __init__(self, load: Callable[[], dict[str, T]], max_age_s: float = MAX_AGE_S) -> None:
        self._load = load
        self._max_age_s = max_age_s
        self.known: dict[str, T] = {}
        """What was read last."""
        self._was_read = False
        self._read_at = -max_age_s

    async def rows(self) -> dict[str, T]:
        if self._is_due():
            await sync_to_async(self.reload)()
        return self.known

    def rows_now(self) -> dict[str, T]:
        """Return the same where there is no event loop."""
        if self._is_due():
            self.reload()
        return self.known

    def _is_due(self) -> bool:
        # Until the first reading has ended every caller reads: nobody is to work without what an operator set.
        now = time.monotonic()
        if self._was_read and now - self._read_at < self._max_age_s:
            return False
        self._read_at = now  # set first, so that only one caller reads
        return True

    def clear(self) -> None:
        """Make the next caller read again."""
        self._was_read, self._read_at = False, -self._max_age_s

    def reload(self) -> None:
        """Read now."""
        if settings.FABRA_STANDALONE:
            self._was_read = True
            return
        try:
            self.known = self._load()
            self._was_read = True
        except DatabaseError as error:
            logger.warning("The operator's settings could not be read, the last ones stay: %s", type(error).__name__)
