"""System checks of settings without which an event is lost or processed twice at once, or moments are no moments."""

from typing import Any

from celery import current_app
from django.conf import settings
from django.core import checks
from django.db import DEFAULT_DB_ALIAS, connections, router

from common.bot_task import LIMIT_S, SOFT_LIMIT_S

_MUST_BE_ON = {"CELERY_TASK_ACKS_LATE": "common.E001", "CELERY_TASK_REJECT_ON_WORKER_LOST": "common.E002"}


def check_celery(**kwargs: Any) -> list[checks.CheckMessage]:
    problems: list[checks.CheckMessage] = [
        checks.Error(
            f"{name} is off, so a killed worker loses its tasks.",
            hint="Set it to True: tasks are idempotent, and what a killed worker had goes to another one.",
            id=check_id,
        )
        for name, check_id in _MUST_BE_ON.items()
        if settings.FABRA_OWN_PROJECT and not getattr(settings, name, False)
    ]
    soft, hard, options = _limits()
    visibility: Any = (options or {}).get("visibility_timeout", 3600)
    if not soft or not hard or not soft < hard < visibility:
        problems.append(
            checks.Error(
                f"Celery's time limits ({soft} s, {hard} s) do not lie below the visibility_timeout of {visibility} s.",
                hint="A task that runs past it goes to a second worker: soft limit < limit < visibility_timeout.",
                id="common.E003",
            )
        )
    return problems


def check_time_zones(**kwargs: Any) -> list[checks.CheckMessage]:
    if settings.USE_TZ:
        return []
    return [
        checks.Error(
            "USE_TZ is off, so moments have no time zone.",
            hint="The bot compares moments of several machines: set USE_TZ = True, or run the bot as a project of its "
            "own beside yours (docs/inside-your-project.md).",
            id="common.E004",
        )
    ]


def check_databases(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check that the bot's tables are made in one database alone, which is the only one that it reads."""
    return [
        checks.Warning(
            f"The bot's tables would be made in the database {alias!r}, too.",
            hint='Put "fabra.hosting.BotRouter" before all others in DATABASE_ROUTERS.',
            id="common.W003",
        )
        for alias in connections
        if alias != DEFAULT_DB_ALIAS and router.allow_migrate(alias, "common")
    ]


def _limits() -> tuple[Any, Any, Any]:
    """Return the limits of a task and the options of the broker; in any project the bot's own tasks have the limits."""
    if not settings.FABRA_OWN_PROJECT:
        return SOFT_LIMIT_S, LIMIT_S, current_app.conf.broker_transport_options
    own = settings.CELERY_TASK_SOFT_TIME_LIMIT, settings.CELERY_TASK_TIME_LIMIT
    return *own, settings.CELERY_BROKER_TRANSPORT_OPTIONS
