"""One way down: chat -> contexts -> retrieval -> features."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
ROOMS = ["features", "retrieval", "contexts", "chat"]


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


@pytest.mark.parametrize("room", ROOMS)
def test_a_lower_room_imports_no_higher_one(room: str) -> None:
    higher = {*ROOMS[ROOMS.index(room) + 1 :], "fabra"} - ({"fabra"} if room == "chat" else set())
    files = [path for path in (PROJECT / room).rglob("*.py") if "migrations" not in path.parts]
    assert files
    for path in files:
        for name in imports_of(path):
            assert name.split(".")[0] not in higher, f"{path.relative_to(PROJECT)} imports {name}"


@pytest.mark.parametrize("room", ROOMS[:-1])
def test_engine_rooms_hold_no_product_rule(room: str) -> None:
    for path in (PROJECT / room).rglob("*.py"):
        text = path.read_text()
        for word in ("premium", "knowledge_base"):
            assert word not in text, f"{path.relative_to(PROJECT)} says {word}"
