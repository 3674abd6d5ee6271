"""Celery tasks that behave alike in every project, whatever its Celery application has as defaults."""

from typing import Any

from celery import shared_task

SOFT_LIMIT_S, LIMIT_S = 15 * 60, 16 * 60


def bot_task(function: Any) -> Any:
    """Declare a task: what a killed worker had of it goes to another one, for it can be done twice."""
    return shared_task(
        acks_late=True,
        reject_on_worker_lost=True,
        ignore_result=True,
        soft_time_limit=SOFT_LIMIT_S,
        time_limit=LIMIT_S,
    )(function)
