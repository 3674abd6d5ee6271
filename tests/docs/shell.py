"""Run the shell blocks of a page in a real shell, in which each program only records how it was called."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

RECORDED = (
    "curl", "make", "python", "pip", "celery", "uvicorn", "pre-commit", "openapi-python-client",
    ".venv/bin/python", ".venv/bin/uv",
)  # fmt: skip
EXPORTS = "exports"
"""The program of the last call, which has the variables that the block exports."""
REAL = ("date", "openssl", "cut")
API_KEY = "DOCS_API_KEY"

_STUB = """\
#!{python} -IS
import json, os, sys
arguments = sys.argv[1:]
if "-T" in arguments:  # what a pipe gives
    arguments[arguments.index("-T") + 1] = sys.stdin.read()
variables = {{name: value for name, value in os.environ.items() if name.startswith(("FABRA_", "OPENAI_"))}}
with open({record!r}, "a") as record:
    record.write(json.dumps([{program!r}, arguments, variables]) + "\\n")
if "create_api_key" in sys.argv:
    print(os.environ[{key!r}])
"""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One program as a block calls it."""

    program: str
    arguments: list[str]
    variables: dict[str, str]
    """Variables of the project, set for this call."""


def run(script: str, folder: Path, **environment: str) -> list[Call]:
    """Return the calls of a script; raise CalledProcessError if it uses another program or an unset variable."""
    record, programs = folder / "calls.jsonl", folder / "bin"
    record.write_text("")
    for program in (*RECORDED, EXPORTS):
        path = (folder if "/" in program else programs) / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_STUB.format(python=sys.executable, record=str(record), program=program, key=API_KEY))
        path.chmod(0o755)
    for program in REAL:
        found = shutil.which(program)
        assert found, f"{program} is not installed"
        (programs / program).unlink(missing_ok=True)
        (programs / program).symlink_to(found)
    subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", f"{script}\n{EXPORTS}"],
        cwd=folder, env={"PATH": str(programs), **environment}, check=True, timeout=300,
    )  # fmt: skip
    calls = [
        Call(program=program, arguments=arguments, variables=variables)
        for program, arguments, variables in map(json.loads, record.read_text().splitlines())
    ]
    return calls if calls[-1].variables else calls[:-1]
