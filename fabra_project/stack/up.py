"""Start the bot and keep it running: `python -m fabra_project.stack up`."""

import os

from fabra_project.stack.announcement import announcement
from fabra_project.stack.bot import Address, app_programs, web_address
from fabra_project.stack.folder import DataFolder, open_folder
from fabra_project.stack.leftovers import end_leftovers
from fabra_project.stack.lock import only_one
from fabra_project.stack.ports import require_free
from fabra_project.stack.progress import ConsoleProgress
from fabra_project.stack.readiness import wait_until_answering
from fabra_project.stack.servers import choose_servers, server_programs, wait_until_ready
from fabra_project.stack.services import remove_services, write_services
from fabra_project.stack.steps import prepare
from fabra_project.stack.stopping import StackStopped, ignore_signals, stop_on_signals
from fabra_project.stack.supervision import Supervision


def up() -> int:
    """Run until Ctrl-C or a signal; return the exit code."""
    progress = ConsoleProgress()
    folder = open_folder()
    address = web_address()
    stop_on_signals()
    with only_one(folder):
        try:
            _start_and_stay(folder, address, progress)
        except StackStopped:
            progress.say("Stopping ...")
        finally:
            ignore_signals()
            end_leftovers(folder)
            remove_services(folder.path)
            folder.released.unlink(missing_ok=True)
        progress.say("All processes have ended.")
    return 0


def _start_and_stay(folder: DataFolder, address: Address, progress: ConsoleProgress) -> None:
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
    is_open, has_sample = _is_on(environment["DEBUG"]), _is_on(environment.get("FABRA_SAMPLE", "1"))
    admin = prepare(folder, environment, progress, has_sample=has_sample)
    with progress.step("Starting web server, worker, scheduler and event consumer"):
        folder.released.touch()
        wait_until_answering(folder, address, supervision, progress)
    print(announcement(folder, address, admin, is_open=is_open, has_sample=has_sample), flush=True)
    supervision.wait()


def _is_on(switch: str) -> bool:
    """Read a switch as Django's settings do."""
    return switch.lower() in ("1", "true", "yes", "on", "y", "ok")


def _environment(folder: DataFolder, address: Address, urls: dict[str, str]) -> dict[str, str]:
    environment = {**os.environ, **urls, "FABRA_DATA_DIR": str(folder.path), "PYTHONUNBUFFERED": "1"}
    # Development mode requires no keys, so it is never the default where others can reach the bot.
    environment.setdefault("DEBUG", "1" if address.is_loopback else "0")
    return environment
