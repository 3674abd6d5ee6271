"""Start the bot and keep it running: `python -m fabra_project.stack up`."""

import math
import os
import time
import urllib.error
import urllib.request

from fabra_project.stack.announcement import announcement
from fabra_project.stack.bot import Address, app_programs, web_address, web_processes
from fabra_project.stack.errors import StackError
from fabra_project.stack.folder import DataFolder, last_lines, open_folder
from fabra_project.stack.leftovers import end_leftovers
from fabra_project.stack.lock import only_one
from fabra_project.stack.patience import STILL_SECONDS, Patience
from fabra_project.stack.ports import require_free
from fabra_project.stack.progress import Progress
from fabra_project.stack.servers import choose_servers, server_programs, wait_until_ready
from fabra_project.stack.services import remove_services, write_services
from fabra_project.stack.steps import prepare
from fabra_project.stack.stopping import Stopped, ignore_signals, stop_on_signals
from fabra_project.stack.supervision import TRIES, Supervision


def up() -> int:
    """Run until Ctrl-C or a signal; return the exit code."""
    progress = Progress()
    folder = open_folder()
    address = web_address()
    stop_on_signals()
    with only_one(folder):
        try:
            _start_and_stay(folder, address, progress)
        except Stopped:
            progress.say("Stopping ...")
        finally:
            ignore_signals()
            end_leftovers(folder)
            remove_services(folder.path)
            folder.released.unlink(missing_ok=True)
        progress.say("All processes have ended.")
    return 0


def _start_and_stay(folder: DataFolder, address: Address, progress: Progress) -> None:
    count = end_leftovers(folder)
    folder.released.unlink(missing_ok=True)
    if count:
        progress.say(f"Ended what an earlier start had left ({count} processes)")
    require_free(address.host, address.port)
    with progress.step("Starting PostgreSQL and Redis"):
        servers = choose_servers(folder)
        environment = _environment(folder, address, servers.urls)
        programs = [*server_programs(servers), *app_programs(servers, address)]
        supervision = Supervision(folder, programs, environment)
        wait_until_ready(folder, servers, progress, supervision.require_alive)
    write_services(folder.path, servers.urls)
    admin = prepare(folder, environment, progress)
    with progress.step("Starting web server, worker, scheduler and event consumer"):
        folder.released.touch()
        _wait_until_ready(folder, address, supervision, progress)
    is_open = environment["DEBUG"].lower() in ("1", "true", "yes", "on", "y", "ok")
    print(announcement(folder, address, admin, is_open=is_open), flush=True)
    supervision.wait()


def _environment(folder: DataFolder, address: Address, urls: dict[str, str]) -> dict[str, str]:
    environment = {**os.environ, **urls, "FABRA_DATA_DIR": str(folder.path), "PYTHONUNBUFFERED": "1"}
    # Development mode requires no keys, so it is never the default where others can reach the bot.
    environment.setdefault("DEBUG", "1" if address.is_loopback else "0")
    return environment


def _wait_until_ready(folder: DataFolder, address: Address, supervision: Supervision, progress: Progress) -> None:
    patience = Patience(folder, "web", "the web server to answer", progress, most_ended=web_processes())
    first_answer = math.inf
    while True:
        supervision.require_alive()
        status, text = _readiness(address)
        if status == 200:
            return
        if status:  # the server runs; what it reports as missing is unlikely to appear by waiting
            first_answer = min(first_answer, time.monotonic())
        failures = supervision.failures()
        is_stuck = patience.is_over() or time.monotonic() - first_answer > STILL_SECONDS
        if is_stuck or max(failures.values(), default=0) >= TRIES:
            raise StackError(_explanation(folder, address, list(failures), f"{status or 'nothing'}: {text}"))
        time.sleep(0.2)


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
