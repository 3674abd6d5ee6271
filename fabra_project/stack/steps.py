"""What happens once before the bot runs: Django's commands, and how far they are."""

import json
import subprocess
import sys
from contextlib import ExitStack

import psutil

from fabra_project.stack.commands import MARK
from fabra_project.stack.errors import StackError
from fabra_project.stack.folder import PROJECT, DataFolder, last_lines
from fabra_project.stack.leftovers import end_now
from fabra_project.stack.progress import Progress

STEPS = {
    "prepare_assets": "Preparing the embedding model and the token encodings",
    "check": "Checking the settings",
    "migrate": "Bringing the database up to date",
    "create_admin": "Making sure there is an administrator",
    "load_sample": "Indexing the sample knowledge base",
}


def prepare(folder: DataFolder, environment: dict[str, str], progress: Progress) -> dict[str, str | None]:
    """Run the steps in order; return the administrator's `username` and `password` (None where it was changed)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fabra_project.stack.commands", *STEPS],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on
    )
    try:
        said = _follow(process, folder, progress)
        code = process.wait()
    finally:
        if process.poll() is None:
            end_now([psutil.Process(process.pid)])
    if code:
        command = list(said)[-1] if said else "django.setup"
        raise StackError(
            f"{command} failed (exit code {code}); the end of {folder.log('setup')}:\n{last_lines(folder.log('setup'))}"
        )
    if len(said["check"]) > 1:
        progress.say("\n".join(said["check"]))
    return json.loads(said["create_admin"][-1])


def _follow(process: "subprocess.Popen[str]", folder: DataFolder, progress: Progress) -> dict[str, list[str]]:
    """Show and log what the commands say while they say it; return their lines by command."""
    said: dict[str, list[str]] = {}
    lines: list[str] = []
    assert process.stdout is not None
    with folder.log("setup").open("w") as log, ExitStack() as step:
        for line in map(str.rstrip, process.stdout):
            if line.startswith(MARK):
                step.close()
                name = line.removeprefix(MARK)
                step.enter_context(progress.step(STEPS[name]))
                lines = said[name] = []
                log.write(f"== {name}\n")
                continue
            lines.append(line)
            if line.startswith("{") and list(said)[-1:] == ["create_admin"]:
                continue  # a password belongs in no log
            log.write(f"{line}\n")
            log.flush()
            progress.detail(line)
    return said
