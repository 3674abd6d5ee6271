"""A lock that allows one stack at a time in a data folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from fabra_project.stack.errors import StackError
from fabra_project.stack.folder import DataFolder


@contextmanager
def only_one(folder: DataFolder) -> Iterator[None]:
    """Hold the folder's lock, or raise StackError; the kernel releases it however this process ends."""
    with (folder.run / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise StackError(
                f"A stack already runs in {folder.path} (process {holder}): stop it with Ctrl-C where it was started, "
                "or set FABRA_DATA_DIR and FABRA_PORT for a second one."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
