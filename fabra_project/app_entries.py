"""The entries of FABRA_APPS, looked at before Django loads them: what it says of them is a traceback.

System checks come too late, since they need the apps.
"""

from collections.abc import Sequence

from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured


def check_team_apps(entries: Sequence[str], installed: Sequence[str]) -> None:
    """Raise ImproperlyConfigured for an entry that is no app, is there twice, or has another app's label.

    `installed` has all apps, those of the entries too.
    """
    others = list(installed)
    for entry in entries:
        others.remove(entry)
    names, labels = dict[str, str](), dict[str, str]()
    for entry in [*others, *entries]:
        config = _config_of(entry)
        if config.name in names:
            raise ImproperlyConfigured(_twice(entry, is_others=names[config.name] in others))
        if config.label in labels:
            raise ImproperlyConfigured(
                f"FABRA_APPS: the label {config.label!r} of {entry!r} is that of {labels[config.label]!r}, too. Give "
                f"the app another one: `label = ...` in its AppConfig, before its first migration."
            )
        names[config.name] = labels[config.label] = entry


def _config_of(entry: str) -> AppConfig:
    try:
        return AppConfig.create(entry)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{entry}.".startswith(f"{error.name}."):
            raise  # the app is there, and imports something that is not
        reason = f"there is no module {error.name!r}"
    except (ImportError, ImproperlyConfigured) as error:
        reason = str(error).rstrip(".")
    raise ImproperlyConfigured(
        f"FABRA_APPS has {entry!r}: {reason}. It names apps or their AppConfig, separated by commas: folders beside "
        "manage.py, which `manage.py startbot NAME` or `startapp NAME` makes, or installed packages."
    )


def _twice(entry: str, *, is_others: bool) -> str:
    if is_others:
        return f"FABRA_APPS has {entry!r}, an app that the project has anyway: leave it out."
    return f"FABRA_APPS names the app of {entry!r} twice: leave one out."
