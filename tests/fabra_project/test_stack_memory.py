"""How much memory the embedded PostgreSQL is given."""

import pytest

from fabra_project.stack.memory import memory_settings, settings_for


@pytest.mark.parametrize(
    ("machine_mb", "buffers"), [(512, "256MB"), (2048, "256MB"), (16_384, "2048MB"), (262_144, "4096MB")]
)
def test_buffers_grow_with_the_machine(machine_mb: int, buffers: str) -> None:
    assert settings_for(machine_mb, 10**6)["shared_buffers"] == buffers


def test_a_small_shared_memory_is_left_alone() -> None:
    assert settings_for(16_384, 64)["dynamic_shared_memory_type"] == "mmap"
    assert "dynamic_shared_memory_type" not in settings_for(16_384, 10**6)


def test_this_machine_has_its_own_settings() -> None:
    assert memory_settings()["shared_buffers"].endswith("MB")
