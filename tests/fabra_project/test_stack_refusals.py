"""What stands in the way of a start is one clear sentence: no traceback, no password."""

import os
import socket
from pathlib import Path

import pytest

from tests.fabra_project.stack_runs import start


def refused(folder: Path, **environment: str) -> str:
    process = start("up", FABRA_DATA_DIR=str(folder), **{"FABRA_PORT": "18973", **environment})
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output
    assert "Traceback" not in output
    assert "sesame" not in output
    return output.splitlines()[-1]


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        sentence = refused(tmp_path, FABRA_PORT=str(port))
    assert sentence == f"Port {port} on 127.0.0.1 is taken: stop what listens there, or set FABRA_PORT."


@pytest.mark.parametrize(
    ("environment", "beginning"),
    [
        ({"FABRA_PORT": "http"}, "FABRA_PORT must be a number between 1 and 65535"),
        ({"FABRA_HOST": "192.0.2.1"}, "The web server cannot listen on 192.0.2.1:18973"),
        ({"DATABASE_URL": "mysql://sesame@localhost/x"}, "DATABASE_URL must look like postgresql://"),
        ({"DATABASE_URL": "postgresql://u:sesame@[nowhere/x"}, "DATABASE_URL must look like postgresql://"),
        ({"DATABASE_URL": "postgresql://u:sesame@127.0.0.1:1/x"}, "DATABASE_URL: PostgreSQL at 127.0.0.1:1 does not"),
        ({"DATABASE_URL": "postgresql://u:sesame@127.0.0.1:99999/x"}, "DATABASE_URL: PostgreSQL at 127.0.0.1:99999"),
        ({"DATABASE_URL_FILE": "/no/such/file"}, "DATABASE_URL_FILE: /no/such/file cannot be read"),
        ({"REDIS_URL": "http://:sesame@localhost"}, "REDIS_URL must look like redis://"),
        ({"REDIS_URL": "redis://:sesame@127.0.0.1:1/0"}, "REDIS_URL: Redis at 127.0.0.1:1 does not let us in"),
    ],
)
def test_a_setting_that_cannot_work(tmp_path: Path, environment: dict[str, str], beginning: str) -> None:
    assert refused(tmp_path, **environment).startswith(beginning)


def test_a_data_folder_that_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert refused(file / "data") == f"The data folder {file / 'data'} cannot be made: Not a directory."


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another identity for PostgreSQL: run as root")
def test_root_without_user_namespaces_in_a_private_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    forbidden = tmp_path / "bin" / "unshare"
    forbidden.parent.mkdir()
    forbidden.write_text("#!/bin/sh\nexit 1\n")
    forbidden.chmod(0o755)
    path = f"{forbidden.parent}{os.pathsep}{os.environ['PATH']}"
    sentence = refused(tmp_path / "data", PATH=path)
    assert sentence.startswith("PostgreSQL does not run as root, user namespaces are not allowed here")
    assert sentence.endswith("or set DATABASE_URL to a server of your own.")
