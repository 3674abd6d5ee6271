"""The Celery application of workers and beat."""

import os
from typing import Any

from celery import Celery, Task, states
from celery.signals import task_postrun, task_prerun
from django.db import close_old_connections, connections, reset_queries

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fabra_project.settings")

app = Celery("fabra_project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


# Celery closes the database's connection behind each task, unless CELERY_DB_REUSE_MAX says otherwise: a new one, whose
# server process knows no table yet, is a third of what an event costs.


@task_prerun.connect
def prepare_connections(task: Task[Any, Any], **others: Any) -> None:
    """Do what Django does before a request.

    That is to forget the statements that are kept with DEBUG, 9,000 of any length, and to close connections that were
    lost or are older than CONN_MAX_AGE.
    """
    if not task.request.is_eager:
        reset_queries()
        close_old_connections()


@task_postrun.connect
def close_after_failure(task: Task[Any, Any], state: str, **others: Any) -> None:
    """Close the connections of a task that failed: a time limit may have interrupted a statement or a lock's end."""
    if state != states.SUCCESS and not task.request.is_eager:
        connections.close_all()
