"""How many processes answer the web, as the operator says or the machine allows."""

import pytest
from django.conf import settings

from fabra_project.stack.bot import Address, app_programs, web_processes
from fabra_project.stack.errors import StackError
from fabra_project.stack.servers import Servers


@pytest.mark.parametrize(("cores", "count"), [(None, 1), (1, 1), (2, 2), (16, 4)])
def test_there_is_one_web_process_for_each_core_up_to_four(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, count: int
) -> None:
    monkeypatch.delenv("FABRA_WEB_PROCESSES", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert web_processes() == count


def test_the_operator_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABRA_WEB_PROCESSES", "6")
    assert web_processes() == 6


@pytest.mark.parametrize("count", ["0", "-1", "many", "1000"])
def test_a_count_that_is_none_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, count: str) -> None:
    monkeypatch.setenv("FABRA_WEB_PROCESSES", count)
    with pytest.raises(StackError, match="FABRA_WEB_PROCESSES must be a number"):
        web_processes()


def test_each_queue_is_read_by_a_worker() -> None:
    programs = app_programs(Servers(embedded=(), urls={}), Address(host="127.0.0.1", port=8000))
    words = [word.partition("=") for program in programs for word in program.command]
    read = [queue for name, _, queues in words if name == "--queues" for queue in queues.split(",")]
    assert sorted(read) == sorted(queue.name for queue in settings.CELERY_TASK_QUEUES)
