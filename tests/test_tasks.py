"""Tasks are sent by name: each name is of a task, and is written where its app enqueues or plans it."""

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

from celery import current_app
from django.apps import apps

PROJECT = Path(__file__).resolve().parent.parent
PLACES = {"apps.py", "dispatch.py", "settings.py", "schedule.py"}
"""The plan of beat, what an app enqueues, the queues, and the plan of features' refreshes."""
OTHERS = {"common/admin/storage.py": "common.tasks.prune"}
"""What is enqueued by hand only; `common/dispatch.py` sends what all apps enqueue."""
_NAME = re.compile(r'"((?:common|events|features|retrieval|contexts|chat)\.tasks\.[\w*]+)"')


def sent() -> Iterator[tuple[str, str]]:
    """Yield each name of a task in the code, after the module that it stands in."""
    folders = [Path(app.path) for app in apps.get_app_configs() if Path(app.path).parent == PROJECT]
    for folder in [*folders, PROJECT / "fabra_project", PROJECT / "fabra"]:
        for path in folder.rglob("*.py"):
            if "migrations" not in path.parts:
                for name in _NAME.findall(path.read_text()):
                    yield path.relative_to(PROJECT).as_posix(), name


def test_every_task_that_is_sent_is_registered() -> None:
    for name in sorted({name.rpartition(".")[0] for _, name in sent()}):
        import_module(name)
    names = {name for _, name in sent()}
    assert len(names) > 30
    assert [name for name in names if not any(fnmatch(task, name) for task in current_app.tasks)] == []


def test_names_of_tasks_stand_in_the_modules_that_enqueue_and_plan() -> None:
    elsewhere = {module: name for module, name in sent() if module.rpartition("/")[2] not in PLACES}
    assert elsewhere == OTHERS
