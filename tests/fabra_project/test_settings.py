"""The settings are safe in production, and the migrations say what the models say."""

import subprocess
import sys

import pytest

from tests.processes import PROJECT, test_environment

pytestmark = pytest.mark.django_db


def test_deployment_checks_are_clean_in_production() -> None:
    environment = test_environment(DEBUG="0")
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
