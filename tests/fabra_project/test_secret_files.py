"""A secret is in the environment, or in a file that the environment names."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from common.secret_files import env_secret
from tests.fabra_project.stack_runs import PROJECT, environment

SHOW = """
import json
from django.conf import settings
names = ("SECRET_KEY", "OPENAI_API_KEY", "REDIS_URL")
print(json.dumps([settings.DATABASES["default"]["NAME"], *(getattr(settings, name) for name in names)]))
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file that SESAME_FILE names, and that does not exist yet."""
    monkeypatch.delenv("SESAME", raising=False)
    monkeypatch.setenv("SESAME_FILE", str(tmp_path / "sesame"))
    return tmp_path / "sesame"


def test_without_either_there_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESAME", raising=False)
    monkeypatch.delenv("SESAME_FILE", raising=False)
    assert env_secret("SESAME") == ""


def test_a_file_is_read_without_its_last_line_break(file: Path) -> None:
    file.write_text("open\n")
    assert env_secret("SESAME") == "open"


def test_the_variable_comes_first(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("of the file")
    monkeypatch.setenv("SESAME", "of the variable")
    assert env_secret("SESAME") == "of the variable"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "cannot be read: No such file or directory"), (b" \n", "is empty"), (b"\xff", "it is not text")],
)
def test_a_file_that_holds_no_secret_is_an_error(file: Path, content: bytes | None, reason: str) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ImproperlyConfigured, match=f"SESAME_FILE: {file} .*{reason}"):
        env_secret("SESAME")


def test_the_settings_read_theirs_from_files(tmp_path: Path) -> None:
    secrets = {
        "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/shop",
        "SECRET_KEY": "a-key",
        "OPENAI_API_KEY": "sk-1",
        "REDIS_URL": "redis://:p@127.0.0.1:2/0",
    }
    for name, value in secrets.items():
        (tmp_path / name).write_text(f"{value}\n")
    files = {f"{name}_FILE": str(tmp_path / name) for name in secrets}
    shown = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=PROJECT, capture_output=True, text=True,
        env=environment(FABRA_DATA_DIR=str(tmp_path), DJANGO_SETTINGS_MODULE="fabra_project.settings", **files),
    )  # fmt: skip
    assert json.loads(shown.stdout) == ["shop", "a-key", "sk-1", secrets["REDIS_URL"]], shown.stderr
