"""The order of the modules, and which of their tests share a process."""

from typing import Any

from xdist.scheduler.loadscope import LoadScopeScheduling

TOGETHER = ("tests/chat/page/",)
"""Folders whose modules share servers and a browser."""
LONGEST = (
    "tests/chat/page/", "tests/chat/test_schemathesis.py", "tests/events/test_event_crashes.py",
    "tests/fabra_project/test_stack", "tests/fabra_project/test_team_apps.py", "tests/retrieval/test_ingestion.py",
    "tests/chat/test_bad_input.py", "tests/chat/test_live.py",
)  # fmt: skip
"""What begins so comes first; last, it would keep one process busy while the others have nothing left to do."""


class ModuleScheduling(LoadScopeScheduling):
    """Give the tests of a module, its classes included, to one process."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in TOGETHER if file.startswith(folder)), file)


def rank(item: Any) -> int:
    """Return the position of a test's module among the longest; the others keep their order after them."""
    starts = (number for number, start in enumerate(LONGEST) if item.nodeid.startswith(start))
    return next(starts, len(LONGEST))
