"""uv installs from where pip was told to, unless it was told itself."""

from pathlib import Path

import pytest

from fabra_project.stack.install import UV_VARIABLES, uv_variables

CONFIG = """
[global]
index-url = https://mirror.example/simple
trusted-host =
    mirror.example
    other.example
timeout = 60
"""


@pytest.fixture(autouse=True)
def told_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.conf").write_text(CONFIG)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    for option, variable in UV_VARIABLES.items():
        monkeypatch.delenv(f"PIP_{option.upper().replace('-', '_')}", raising=False)
        monkeypatch.delenv(variable, raising=False)


def test_what_pip_was_told_in_its_file() -> None:
    variables = uv_variables()
    assert variables["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert variables["UV_INSECURE_HOST"] == "mirror.example other.example"


def test_what_pip_was_told_in_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://nearer.example/simple")
    assert uv_variables()["UV_DEFAULT_INDEX"] == "https://nearer.example/simple"


def test_what_uv_was_told_itself_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://own.example/simple")
    assert "UV_DEFAULT_INDEX" not in uv_variables()
