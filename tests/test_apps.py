"""The apps can be made ready again, as Django's documentation says may happen."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.checks.registry import registry as checks
from django.db.models.signals import ModelSignal, post_migrate, pre_migrate
from django.dispatch import Signal
from django.test.utils import isolate_apps

from events.handlers import handlers_of
from events.models import Event

PROJECT = Path(__file__).parents[1]
OURS = [config for config in apps.get_app_configs() if Path(config.path).parent == PROJECT]
TYPES = ("conversation_escalated", "feedback_given", "doc_updated", "doc_deleted", "ticket_closed", "anything")


@pytest.mark.django_db
def test_an_app_that_is_ready_again_registers_nothing_twice() -> None:
    before = dict(registered())
    assert sum(map(len, before.values())) > 100
    for config in OURS:
        config.ready()
    with isolate_apps(*[config.name for config in OURS], "django.contrib.auth", "django.contrib.contenttypes"):
        pass  # a registry of its own, with other objects of the same configurations
    for name, items in registered():
        assert items == before.get(name), name


@pytest.mark.django_db
@pytest.mark.parametrize("event_type", TYPES)
def test_each_handler_of_an_event_has_a_name_of_its_own(event_type: str) -> None:
    found = handlers_of(Event(event_type=event_type, payload={"ticket": 1, "user_id": "ana"}, entity_id="ana"))
    names = [handler.name for handler in (*found.of_state, *found.of_event)]
    assert len(names) == len(set(names))


def registered() -> Iterator[tuple[str, list[str]]]:
    """Return what each module of the apps keeps in a list, dict or set, who listens to each signal, and all checks."""
    yield "checks", sorted(map(repr, checks.registered_checks))
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in {config.name for config in OURS} or name == "django.db.models.signals":
            for key, value in list(vars(module).items()):
                if isinstance(value, list | dict | set) and not key.startswith("__"):
                    yield f"{name}.{key}", [repr(item) for item in value]
                elif isinstance(value, Signal | ModelSignal):
                    yield f"{name}.{key}", listeners(value)


def listeners(signal: Any) -> list[str]:
    """Return who listens; to a migration, only for the configurations whose migration Django tells."""
    told = {id(config) for config in apps.get_app_configs()}
    return [repr(key) for key, *_ in signal.receivers if signal not in (pre_migrate, post_migrate) or key[1] in told]
