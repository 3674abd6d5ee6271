"""Become a program of the stack: record this process, wait for the program's servers, then exec the program.

`python -m fabra_project.stack.child NAME`, with FABRA_DATA_DIR set. The process keeps its PID through the exec, so
that the record and the supervisor's signals stay valid.
"""

import os
import sys
import time

from fabra_project.stack.folder import open_folder
from fabra_project.stack.leftovers import end_orphans
from fabra_project.stack.postgres import Postgres
from fabra_project.stack.program import read_program
from fabra_project.stack.records import read_record, record
from fabra_project.stack.servers import EMBEDDED

# After this wait the program starts anyway: some work without a server, and the others report what is missing.
_WAIT_SECONDS = 20


def main(name: str) -> None:
    folder = open_folder()
    program = read_program(folder, name)
    before = read_record(folder, name)
    if before is not None and before.process() is None:
        end_orphans(folder, before)
    record(folder, name)
    if name == Postgres.name:
        Postgres(folder=folder, port=0).remove_stale_pid_file()
    while not (program.is_released or folder.released.exists()):
        time.sleep(0.1)
    deadline = time.monotonic() + _WAIT_SECONDS
    for server_name, port in program.after.items():
        server = EMBEDDED[server_name](folder=folder, port=port)
        while not server.is_ready() and time.monotonic() < deadline:
            time.sleep(0.1)
    os.execvpe(program.command[0], program.command, {**os.environ, **program.environment})


if __name__ == "__main__":
    main(sys.argv[1])
