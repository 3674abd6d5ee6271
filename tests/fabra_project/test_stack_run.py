"""`stack run`: a command with PostgreSQL and Redis beside it."""

import json
import signal
import stat
from pathlib import Path

import psutil
import pytest

from tests.fabra_project.stack_runs import recorded_pid, run_beside, start, wait_for

LOOK = """
import json, os, psutil, psycopg, redis
folder = os.environ["FOLDER"]
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    version = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()[0]
    connection.execute("CREATE TABLE IF NOT EXISTS visits (n int)")
    connection.execute("INSERT INTO visits VALUES (1)")
    visits = connection.execute("SELECT count(*) FROM visits").fetchone()[0]
client = redis.Redis.from_url(os.environ["REDIS_URL"])
client.incr("visits")
pids = [json.load(open(f"{folder}/run/processes/{name}"))["pid"] for name in ("postgres", "valkey")]
hosts = [c.laddr.ip for pid in pids for c in psutil.Process(pid).net_connections() if c.status == "LISTEN"]
visits = [visits, int(client.get("visits"))]
print("LOOK", json.dumps({"pgvector": version, "visits": visits, "pids": pids, "hosts": hosts}))
"""


def look(folder: Path) -> dict[str, object]:
    result = run_beside(folder, LOOK.replace('os.environ["FOLDER"]', repr(str(folder))))
    assert result.returncode == 0, result.stdout
    line = next(line for line in result.stdout.splitlines() if line.startswith("LOOK"))
    return json.loads(line.removeprefix("LOOK"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder inside one that only its owner may enter."""
    private = tmp_path_factory.mktemp("private")
    private.chmod(0o700)
    return private / "data"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_both_servers_answer_and_end_with_the_command(folder: Path) -> None:
    before = set(folder.parent.parent.iterdir())
    seen = look(folder)
    assert seen["visits"] == [1, 1]
    assert tuple(map(int, str(seen["pgvector"]).split(".")[:2])) >= (0, 8)
    assert set(seen["hosts"]) == {"127.0.0.1"}
    assert not [pid for pid in seen["pids"] if psutil.pid_exists(pid)]
    assert mode(folder.parent) == 0o700
    assert set(folder.parent.parent.iterdir()) == before


def test_data_and_ports_are_kept(folder: Path) -> None:
    ports = (folder / "run" / "ports.json").read_text()
    assert look(folder)["visits"] == [2, 2]
    assert (folder / "run" / "ports.json").read_text() == ports


def test_passwords_are_the_owners_alone(folder: Path) -> None:
    for part in ("secrets", "run", "logs", "postgres", "valkey"):
        assert mode(folder / part) == 0o700
    for secret in (folder / "secrets").iterdir():
        assert mode(secret) == 0o600
        logs = "".join(path.read_text() for path in (folder / "logs").iterdir())
        assert secret.read_text() not in logs


def test_the_exit_code_is_the_commands(folder: Path) -> None:
    assert run_beside(folder, "raise SystemExit(7)").returncode == 7


def test_a_command_that_is_missing_is_a_sentence(folder: Path) -> None:
    process = start("run", "--fast", "--data-dir", str(folder), "--", "no-such-command")
    output, _ = process.communicate(timeout=120)
    assert (process.returncode, output) == (1, "no-such-command cannot be run: No such file or directory.\n")


def test_a_second_stack_in_the_folder_is_refused(folder: Path) -> None:
    first = start("run", "--fast", "--data-dir", str(folder), "--", "sleep", "600")
    wait_for(lambda: (folder / "run" / "processes" / "valkey").exists())
    second = run_beside(folder, "")
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 128 + signal.SIGTERM
    assert second.returncode == 1
    assert f"A stack already runs in {folder} (process {first.pid})" in second.stdout


def test_a_start_after_kill_9_ends_what_was_left_and_recovers(folder: Path) -> None:
    first = start("run", "--data-dir", str(folder), "--", "sleep", "600")
    wait_for(lambda: (folder / "postgres" / "cluster" / "postmaster.pid").exists())
    left = [recorded_pid(folder, name) for name in ("postgres", "valkey")]
    wait_for(
        lambda: "ready to accept" in (folder / "logs" / "postgres.log").read_text().rsplit("starting Postgre", 1)[-1]
    )
    for child in psutil.Process(first.pid).children():
        if child.name() == "sleep":
            child.kill()
    first.kill()
    first.wait()
    assert all(psutil.pid_exists(pid) for pid in left)
    assert look(folder)["visits"] == [3, 3]
    assert not [pid for pid in left if psutil.pid_exists(pid)]


def test_a_pid_file_that_names_a_stranger_does_not_stop_the_start(folder: Path) -> None:
    pid_file = folder / "postgres" / "cluster" / "postmaster.pid"
    pid_file.write_text(f"{psutil.Process().ppid()}\n{pid_file.parent}\n1\n5432\n\n127.0.0.1\n")
    assert look(folder)["visits"] == [4, 4]


def test_a_recorded_pid_that_is_another_process_by_now_is_left_alone(folder: Path) -> None:
    stranger = psutil.Popen(["sleep", "600"])
    record = {"pid": stranger.pid, "started": stranger.create_time() - 60}
    (folder / "run" / "processes" / "web").write_text(json.dumps(record))
    try:
        assert run_beside(folder, "").returncode == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_first_start_that_was_cut_short_is_begun_anew(folder: Path) -> None:
    cluster = folder / "postgres" / "cluster"
    cluster.rename(folder / "postgres" / "cluster.new")
    assert look(folder)["visits"] == [1, 5]
