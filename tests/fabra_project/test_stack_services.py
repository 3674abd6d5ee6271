"""What settings read from the data folder."""

import stat
import subprocess
import sys
from pathlib import Path

from fabra_project.stack.services import read_services, remove_services, secret_key, services_file, write_services
from tests.fabra_project.stack_runs import PROJECT, environment

URLS = {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x", "REDIS_URL": "redis://:p@127.0.0.1:2/0"}


def test_the_urls_of_a_running_stack_are_the_owners_alone(tmp_path: Path) -> None:
    assert read_services(tmp_path) == {}
    (tmp_path / "run").mkdir()
    write_services(tmp_path, URLS)
    assert read_services(tmp_path) == URLS
    assert stat.S_IMODE(services_file(tmp_path).stat().st_mode) == 0o600
    remove_services(tmp_path)
    assert read_services(tmp_path) == {}


def test_processes_that_start_together_share_one_secret_key(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from fabra_project.stack.services import secret_key;"
        "sys.stdin.read(); print(secret_key(Path(sys.argv[1])))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            cwd=PROJECT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    keys = {process.stdout.read().strip() for process in processes if process.stdout and not process.wait(120)}
    assert keys == {secret_key(tmp_path)}
    assert len(keys.pop()) >= 50
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["secret_key"]
    assert stat.S_IMODE((tmp_path / "secrets" / "secret_key").stat().st_mode) == 0o600
