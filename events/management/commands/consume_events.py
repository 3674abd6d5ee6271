import logging
import os
import signal
import socket
import time
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections

from common.redis import REDIS_ERRORS
from events.bus import consume

logger = logging.getLogger(__name__)

_RETRY_S = 1.0


class Command(BaseCommand):
    help = "Move events from the Redis Stream into the outbox, until interrupted."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--name", default="", help="This consumer's name; give each of several its own.")

    def handle(self, *args: Any, **options: Any) -> None:
        # With a stable name, a restarted consumer finds its unacknowledged entries at once.
        name = options["name"] or os.environ.get("FABRA_CONSUMER_NAME") or socket.gethostname()
        self._is_stopped = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        logger.info("Consuming events as %s.", name)
        while not self._is_stopped:
            try:
                consume(name, lambda: self._is_stopped)
            except (*REDIS_ERRORS, DatabaseError) as error:
                logger.warning("A server does not answer (%s); trying again.", type(error).__name__)
                close_old_connections()
                time.sleep(_RETRY_S)

    def _stop(self, *args: Any) -> None:
        self._is_stopped = True
