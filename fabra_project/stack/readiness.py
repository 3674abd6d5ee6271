"""Wait until the web server answers, and answers that it is ready."""

import os
import time
import urllib.error
import urllib.request
from dataclasses import replace

from fabra_project.stack.bot import WORKERS, Address, web_processes
from fabra_project.stack.errors import StackError
from fabra_project.stack.folder import DataFolder, last_lines
from fabra_project.stack.patience import Pace, Patience
from fabra_project.stack.progress import ConsoleProgress
from fabra_project.stack.supervision import TRIES, Supervision

_STARTING = 6  # of what counts as progress: programs that start use the CPU, those that only run their clock far less
_ASK_SECONDS, _ASK_AGAIN_SECONDS = 0.2, 1.0  # the second once it answers, so that to be asked is no work


def wait_until_answering(
    folder: DataFolder, address: Address, supervision: Supervision, progress: ConsoleProgress, pace: Pace | None = None
) -> None:
    """Wait until /readyz answers 200; raise StackError once nothing moves any more, or a program ends again and again.

    A server that answers something else logs it each time, so from then on only the CPU time says who is at work. On
    a busy machine these are also the workers, which keep the web server from its database.
    """
    pace = pace or Pace()
    what = "the web server to answer"
    patience = Patience(folder, ["web"], what, progress, pace=pace, most_ended=web_processes())
    answered = 0
    while True:
        supervision.require_alive()
        status, text = _readiness(address)
        if status == 200:
            return
        answer = f"{status or 'nothing'}: {text}"
        if status and status != answered:
            answered = status
            what = f"the web server to be ready, which answers {answer}"
            busy = replace(pace, work=pace.work * _STARTING)
            patience = Patience(folder, ["web", *WORKERS], what, progress, pace=busy, reads_logs=False)
        failures = supervision.failures()
        if patience.is_over() or max(failures.values(), default=0) >= TRIES:
            raise StackError(_explanation(folder, address, list(failures), answer))
        time.sleep(_ASK_AGAIN_SECONDS if answered else _ASK_SECONDS)


def _readiness(address: Address) -> tuple[int, str]:
    """Return the status and body of /readyz's answer; 0 and the reason if nothing answers."""
    hosts = [host for host in os.environ.get("ALLOWED_HOSTS", "").split(",") if host.strip(" .*")]
    headers = {"Host": hosts[0].strip(" .")} if hosts else {}
    try:
        urllib.request.urlopen(urllib.request.Request(f"{address.url}/readyz", headers=headers), timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code, error.read(500).decode(errors="replace")
    except OSError as error:
        return 0, str(error)
    return 200, ""


def _explanation(folder: DataFolder, address: Address, failing: list[str], answer: str) -> str:
    if failing:
        logs = [
            f"{name} does not start; the end of {folder.log(name)}:\n{last_lines(folder.log(name))}" for name in failing
        ]
        return "\n".join(logs)
    log = folder.log("web")
    return f"{address.url}/readyz answers {answer}\nThe end of {log}:\n{last_lines(log)}"
