"""How much memory the embedded PostgreSQL is given."""

import pytest

from fabra_project.stack import memory


@pytest.mark.parametrize(
    ("machine_mb", "buffers"), [(512, "256MB"), (2048, "256MB"), (16_384, "2048MB"), (262_144, "4096MB")]
)
def test_buffers_grow_with_the_machine(monkeypatch: pytest.MonkeyPatch, machine_mb: int, buffers: str) -> None:
    monkeypatch.setattr(memory, "_total_bytes", lambda: machine_mb * 2**20)
    assert memory.memory_settings()["shared_buffers"] == buffers


def test_a_small_shared_memory_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_shared_memory_mb", lambda: 64)
    assert memory.memory_settings()["dynamic_shared_memory_type"] == "mmap"
    monkeypatch.setattr(memory, "_shared_memory_mb", lambda: 10**6)
    assert "dynamic_shared_memory_type" not in memory.memory_settings()
