"""Background tasks of contexts."""

import logging

from common.bot_task import bot_task
from common.redis import REDIS_ERRORS
from contexts.erasure import sweep_fast_copies

logger = logging.getLogger(__name__)


@bot_task
def erase_copies() -> None:
    """Erase the copies of erased traces that are still in Redis."""
    try:
        sweep_fast_copies()
    except REDIS_ERRORS as error:
        logger.warning("Copies of erased traces are left: Redis does not answer (%s).", type(error).__name__)
