"""The groups that come with the project: who may do what, before an operator decides otherwise."""

from collections.abc import Iterator

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from chat.models import GrantedPermission
from common.locks import lock_in_transaction

_TABLES_OF_EVERYTHING = (
    "chat",
    "contexts",
    "events",
    "features",
    "retrieval",
    "django_celery_beat",
    "axes",
    "auth",
    "admin",
    "common",
)

_AGENT = {
    "chat.conversation": "view answer chat_as_user",
    "chat.message": "view",
    "chat.feedback": "view",
    "chat.gap": "view",
    "chat.gapquestion": "view",
    "chat.customer": "view",
    "chat.ticket": "view change",
    "contexts.trace": "view",
    "features.featurevalue": "view",
    "features.knownentity": "view",
    "retrieval.document": "view",
    "retrieval.documentversion": "view",
    "retrieval.chunk": "view",
    "retrieval.index": "view",
}

# For each group and table, what its members may do; `*` stands for every table of an app.
GROUPS: dict[str, dict[str, str]] = {
    "Support agent": _AGENT,
    "Support lead": {
        **_AGENT,
        "chat.conversation": f"{_AGENT['chat.conversation']} reassign",
        "chat.handoversettings": "view change",
        "chat.supporthours": "view add change delete",
        "chat.closedday": "view add change delete",
    },
    "Editor": {
        "chat.feedback": "view",
        "chat.gap": "view change",
        "chat.gapquestion": "view",
        "retrieval.document": "view add change delete",
        "retrieval.documentversion": "view",
        "retrieval.chunk": "view",
        "retrieval.index": "view",
        "retrieval.generation": "view",
        "retrieval.ingestionrun": "view add",
        "retrieval.ingestionfile": "view",
        "retrieval.retrieverdefinition": "view",
        "retrieval.modelsource": "view",
        "retrieval.goldenquestion": "view add change delete",
        "retrieval.evaluationrun": "view add",
        "retrieval.calibrationrun": "view",
        "retrieval.evaluationoutcome": "view",
    },
    "Operator": {
        "retrieval.*": "view",
        "retrieval.index": "add change",
        "retrieval.ingestionrun": "add",
        "retrieval.evaluationrun": "add",
        "retrieval.retrieverdefinition": "change",
        "retrieval.modelsource": "change",
        "features.*": "view",
        "features.featuredefinition": "change",
        "contexts.contextdefinition": "view change",
        "events.*": "view",
        "events.event": "add change",
        "events.webhooksource": "add change delete",
        "events.webhookendpoint": "add change delete",
        "events.webhookdelivery": "change",
        "django_celery_beat.periodictask": "view add change delete",
        "django_celery_beat.intervalschedule": "view add change delete",
        "django_celery_beat.crontabschedule": "view add change delete",
        "chat.bot": "view add change delete",
        "chat.limitsettings": "view add change delete",
        "chat.tierlimit": "view add change delete",
        "chat.apikey": "view add change",
        "chat.usersigning": "view add change",
        "chat.modelprovider": "view add change delete",
        "chat.modelcall": "view",
        "chat.handoversettings": "view change",
        "chat.languagephrases": "view add change delete",
        "chat.supporthours": "view add change delete",
        "chat.closedday": "view add change delete",
        "axes.accessattempt": "view delete",
        "axes.accessfailurelog": "view",
        "axes.accesslog": "view",
        "auth.user": "view",
        "auth.group": "view",
        "admin.logentry": "view",
        "common.pruning": "view change",
    },
    "Auditor": {f"{app}.*": "view" for app in _TABLES_OF_EVERYTHING},
}


def grant() -> None:
    """Make the groups, and give each what it was never given before.

    So what an operator takes from a group, or a group that they delete, stays away, and a later version of the project
    can add permissions. A group of the same name that existed before is somebody's own and is left alone.
    """
    with transaction.atomic():
        lock_in_transaction("groups")
        granted = set(GrantedPermission.objects.values_list("group", "permission"))
        for name, tables in GROUPS.items():
            was_made = any(group == name for group, _ in granted)
            group = Group.objects.filter(name=name).first()
            if group is None and not was_made:
                group = Group.objects.create(name=name)
            elif group is None or not was_made:
                continue
            fresh = [(label, permission) for label, permission in _permissions(tables) if (name, label) not in granted]
            group.permissions.add(*(permission for _, permission in fresh))
            GrantedPermission.objects.bulk_create(GrantedPermission(group=name, permission=label) for label, _ in fresh)


def _permissions(tables: dict[str, str]) -> Iterator[tuple[str, Permission]]:
    """Yield the permissions that exist, each with its name as `user.has_perm` takes it."""
    for permission in Permission.objects.select_related("content_type"):
        app, model = permission.content_type.natural_key()
        allowed = f"{tables.get(f'{app}.*', '')} {tables.get(f'{app}.{model}', '')}".split()
        if permission.codename.removesuffix(f"_{model}") in allowed:
            yield f"{app}.{permission.codename}", permission
