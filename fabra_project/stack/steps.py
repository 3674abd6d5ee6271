"""Run Django's commands once before the bot starts, and show their progress."""

import json
import subprocess
import sys
from contextlib import ExitStack

import psutil

from fabra_project.stack.commands import MARK
from fabra_project.stack.errors import StackError
from fabra_project.stack.folder import PROJECT, DataFolder, last_lines
from fabra_project.stack.leftovers import end_now
from fabra_project.stack.progress import ConsoleProgress

_SAMPLE = "load_sample --if-empty"
STEPS = {
    "prepare_assets": "Preparing the embedding model and the token encodings",
    "check": "Checking the settings",
    "migrate": "Bringing the database up to date",
    "create_admin": "Making sure there is an administrator",
    _SAMPLE: "Loading the sample, if the database is empty",
}


def prepare(
    folder: DataFolder, environment: dict[str, str], progress: ConsoleProgress, *, has_sample: bool
) -> dict[str, str | None]:
    """Run the steps in order; return the administrator's `username`, and its `password` or where it is."""
    steps = [step for step in STEPS if has_sample or step != _SAMPLE]
    process = subprocess.Popen(
        [sys.executable, "-m", "fabra_project.stack.commands", *steps],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # so that a Ctrl-C in the terminal does not reach it directly
    )
    try:
        output = _follow(process, folder, progress)
        code = process.wait()
    finally:
        if process.poll() is None:
            end_now([psutil.Process(process.pid)])
    if code:
        command = list(output)[-1] if output else "django.setup"
        raise StackError(
            f"{command} failed (exit code {code}); the end of {folder.log('setup')}:\n{last_lines(folder.log('setup'))}"
        )
    if len(output["check"]) > 1:
        progress.say("\n".join(output["check"]))
    return json.loads(output["create_admin"][-1])


def _follow(process: "subprocess.Popen[str]", folder: DataFolder, progress: ConsoleProgress) -> dict[str, list[str]]:
    """Show and log the commands' output as it arrives; return the lines by command."""
    output: dict[str, list[str]] = {}
    lines: list[str] = []
    assert process.stdout is not None
    with folder.log("setup").open("w") as log, ExitStack() as step:
        for line in map(str.rstrip, process.stdout):
            if line.startswith(MARK):
                step.close()
                name = line.removeprefix(MARK)
                step.enter_context(progress.step(STEPS[name]))
                lines = output[name] = []
                log.write(f"== {name}\n")
                continue
            lines.append(line)
            if line.startswith("{") and list(output)[-1:] == ["create_admin"]:
                continue  # the password must not be logged
            log.write(f"{line}\n")
            log.flush()
            progress.detail(line)
    return output
