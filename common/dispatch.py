"""Enqueue Celery tasks by name, so that the caller need not import the task's code."""

import logging
from typing import Any

from celery import current_app
from django.conf import settings
from kombu.exceptions import KombuError

from common.redis import REDIS_ERRORS

logger = logging.getLogger(__name__)

MODEL_QUEUE = "models"
"""The queue of tasks that wait for a language model, for up to a minute each."""


def enqueue(
    task: str, *args: Any, otherwise: str, queue: str | None = None, delay_s: float = 0.0, **kwargs: Any
) -> bool:
    """Send a task to the broker; return False if it does not answer, and log `otherwise`: what happens then."""
    try:
        own_queue = queue if settings.FABRA_QUEUES else None
        current_app.send_task(task, args, kwargs, queue=own_queue, countdown=delay_s or None, retry=False)
    except (KombuError, *REDIS_ERRORS) as error:
        logger.warning("The broker does not answer (%s): %s.", type(error).__name__, otherwise)
        return False
    return True
