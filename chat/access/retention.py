"""How long sessions, sign-ins and the admin's log are kept, in the bot's own project; in any other they are not its."""

from axes.models import AccessAttempt, AccessAttemptExpiration, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)

from common.retention import Bounded, Retained

SESSIONS = Retained(
    name="sessions, once expired",
    model=Session,
    setting="FABRA_SESSION_RETENTION",
    time="expire_date",
    created=None,
    is_indexed=True,
)
SIGN_INS = tuple(
    Retained(name=name, model=model, setting="FABRA_SIGN_IN_RETENTION", time="attempt_time")
    for name, model in (("sign-ins", AccessLog), ("failed sign-ins", AccessFailureLog))
)
FAILURES = Retained(
    name="counts of failed sign-ins", model=AccessAttempt, setting="FABRA_SIGN_IN_RETENTION", time="attempt_time",
    created=None, with_it=(AccessAttemptExpiration,),
)  # fmt: skip
"""The time is that of the last failure."""
ADMIN_LOG = Retained(
    name="admin log entries", model=LogEntry, setting="FABRA_ADMIN_LOG_RETENTION", time="action_time",
    grows_with_key=True,
)  # fmt: skip

KINDS = (SESSIONS, *SIGN_INS, FAILURES, ADMIN_LOG)
STAYS = (
    Bounded(
        name="users, groups and permissions", reason="made by operators",
        models=(
            User, Group, Permission, User.groups.through, User.user_permissions.through, Group.permissions.through,
            ContentType,
        ),
    ),
    Bounded(
        name="the schedule", reason="some rows for each periodic task",
        models=(
            PeriodicTask, PeriodicTasks, IntervalSchedule, CrontabSchedule, ClockedSchedule, SolarSchedule
        ),
    ),
)  # fmt: skip
