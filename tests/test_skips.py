"""What is skipped says how to run it, and what a machine may lack fails under CI=true."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SKIPS = ("skip", "skipif", "importorskip")


def skips() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of pytest that skips, with its module and line."""
    for path in sorted(TESTS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SKIPS:
                yield f"{path.relative_to(TESTS)}:{node.lineno}", node


def test_every_reason_says_how_to_run_what_was_skipped() -> None:
    without = []
    for location, call in skips():
        reasons = [word.value for word in call.keywords if word.arg == "reason"] or call.args[:1]
        # `missing` gives the reason that it was given.
        if not location.startswith("missing.py") and not (reasons and ": " in ast.unparse(reasons[0])):
            without.append(location)
    assert without == []


def test_tools_are_asked_for_by_missing_which_fails_in_ci() -> None:
    found = [
        location for location, call in skips() if call.func.attr == "importorskip" or "CHROMIUM" in ast.unparse(call)
    ]
    assert found == []


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_a_module_without_its_tool_fails_only_in_ci(tmp_path: Path, ci: str, outcome: str) -> None:
    module = tmp_path / "test_tool.py"
    module.write_text("from tests.missing import required\nrequired('no_such_tool.module')\n")
    options = ["-q", "-rs", "-p", "no:cacheprovider", "-p", "no:django", f"--rootdir={tmp_path}", "-c", "/dev/null"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(module)],
        env={"PYTHONPATH": str(TESTS.parent), "CI": ci}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert outcome in done.stdout
    assert "no_such_tool is missing: run `make test`" in done.stdout
