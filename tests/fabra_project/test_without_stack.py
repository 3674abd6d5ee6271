"""What needs no data needs no running stack, and what does says so in a sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fabra_project.stack_runs import PROJECT, environment

SENTENCE = "No running stack was found: run `make up`, or set DATABASE_URL and REDIS_URL to servers of your own."


def manage(folder: Path, *words: str, **extra: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, PROJECT / "manage.py", *words],
        cwd=folder, env=environment(FABRA_DATA_DIR=str(folder / "data"), **extra),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("check",), "System check identified no issues"),
        (("--help",), "makemigrations"),
        (("migrate", "--help"), "Updates database schema"),
        (("version",), "5."),
        (("makemigrations", "--check", "--dry-run"), "No changes detected"),
    ],
)
def test_a_command_that_needs_no_data(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = manage(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout and done.stderr == ""


def test_a_new_app(tmp_path: Path) -> None:
    done = manage(tmp_path, "startapp", "billing")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "billing" / "models.py").exists()


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("migrate",), {}),
        (("consume_events",), {}),
        (("migrate",), {"DATABASE_URL": "postgresql:///one_of_two"}),
        (("check", "--database", "default"), {}),  # it is told only as it asks the database
        (("search", "knowledge_base", "password"), {"FABRA_WITHOUT_STACK": "1"}),
    ],
)
def test_a_command_that_needs_data(tmp_path: Path, words: tuple[str, ...], extra: dict[str, str]) -> None:
    done = manage(tmp_path, *words, **extra)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == SENTENCE


@pytest.mark.parametrize(
    ("what", "is_loaded"), [("django.setup()", False), ("import fabra_project.asgi", True)], ids=["command", "web"]
)
def test_only_a_web_process_loads_the_sdk_of_models_as_it_starts(tmp_path: Path, what: str, is_loaded: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, django; {what}; print('openai' in sys.modules)"], cwd=PROJECT,
        env=environment(
            FABRA_DATA_DIR=str(tmp_path), FABRA_WITHOUT_STACK="1", DJANGO_SETTINGS_MODULE="fabra_project.settings"
        ),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, str(is_loaded)), done.stderr
