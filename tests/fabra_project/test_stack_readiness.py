"""A start waits for a web server that answers, but is not ready, as long as something works on it."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fabra_project.stack.bot import Address
from fabra_project.stack.errors import StackError
from fabra_project.stack.folder import DataFolder
from fabra_project.stack.leftovers import end_leftovers
from fabra_project.stack.patience import Pace
from fabra_project.stack.program import Program
from fabra_project.stack.progress import ConsoleProgress
from fabra_project.stack.readiness import wait_until_answering
from fabra_project.stack.supervision import Supervision
from tests.processes import free_port, wait_until

SERVER = """
import http.server, sys, time
port, works_for = int(sys.argv[1]), float(sys.argv[2])
began = time.process_time()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        is_ready = works_for and time.process_time() - began >= works_for
        self.send_response(200 if is_ready else 503)
        self.end_headers()
        self.wfile.write(b"the model is not loaded")

server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
import threading
threading.Thread(target=server.serve_forever, daemon=True).start()
while time.process_time() - began < works_for:
    pass
time.sleep(600)
"""


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


Wait = Callable[[float], None]


@pytest.fixture
def wait(tmp_path: Path) -> Iterator[Wait]:
    """Return a function that waits for a server that is ready after so many seconds of CPU time, or with 0 never."""
    folder = DataFolder(path=tmp_path)

    def wait(works_for: float) -> None:
        address = Address(host="127.0.0.1", port=free_port())
        script = tmp_path / "server.py"
        script.write_text(SERVER)
        web = Program(name="web", command=[sys.executable, str(script), str(address.port), str(works_for)])
        supervision = Supervision(folder, [web], {**os.environ, "FABRA_DATA_DIR": str(folder.path)})
        wait_until(lambda: is_listening(address.port))
        pace = Pace(still=2, work=0.1, look=0.05, say=1)
        wait_until_answering(folder, address, supervision, ConsoleProgress(), pace)

    yield wait
    end_leftovers(folder)


def test_a_server_that_works_is_waited_for_though_it_answers_503(
    wait: Wait, capsys: pytest.CaptureFixture[str]
) -> None:
    wait(4)
    assert "waiting for the web server to be ready, which answers 503: the model is not loaded (" in (
        capsys.readouterr().out
    )


def test_a_server_that_answers_503_and_does_nothing_is_given_up(wait: Wait) -> None:
    with pytest.raises(StackError, match="/readyz answers 503: the model is not loaded"):
        wait(0)
