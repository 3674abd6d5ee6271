"""Tools that some tests need and a machine may lack."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pytest

CHROMIUM = Path("/usr/bin/chromium")


def missing(what: str) -> NoReturn:
    """Skip the test, whose tool is not here; fail it under CI=true: nobody reads there what was skipped."""
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(what)
    pytest.skip(what, allow_module_level=True)


def required(module: str) -> Any:
    """Return a module of requirements-dev.txt; it is missing where the tests are run without it."""
    try:
        return import_module(module)
    except ImportError:
        missing(f"{module.partition('.')[0]} is missing: run `make test`")


def require_browser() -> Path:
    """Return the path of the browser that playwright drives."""
    if not CHROMIUM.exists():
        missing(f"{CHROMIUM} is missing: apt-get install chromium")
    return CHROMIUM
