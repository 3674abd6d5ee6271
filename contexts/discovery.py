"""Find the definitions: each installed app's `definitions.py`, or the modules named in FABRA_DEFINITIONS."""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import autodiscover_modules, module_has_submodule

MODULE = "definitions"


def load_definitions() -> None:
    """Import the definitions; an app without the module is skipped, a module that fails to import raises."""
    if settings.FABRA_STANDALONE:
        return
    if settings.FABRA_DEFINITIONS is None:
        autodiscover_modules(MODULE)
    else:
        for name in settings.FABRA_DEFINITIONS:
            import_module(name)


def load_definitions_of(names: Sequence[str]) -> None:
    """Import the definitions of these apps alone: those that the project would load."""
    for config in apps.get_app_configs():
        module = f"{config.name}.{MODULE}"
        if config.name not in names or not config.module or not module_has_submodule(config.module, MODULE):
            continue
        if settings.FABRA_DEFINITIONS is None or module in settings.FABRA_DEFINITIONS:
            import_module(module)


def definition_modules() -> list[ModuleType]:
    if settings.FABRA_DEFINITIONS is not None:
        return [import_module(name) for name in settings.FABRA_DEFINITIONS]
    return [
        import_module(f"{config.name}.{MODULE}")
        for config in apps.get_app_configs()
        if config.module and module_has_submodule(config.module, MODULE)
    ]
