"""What a source gives: the entries it lists, and the file of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from common.errors import Unavailable
from retrieval.readers import SourceFile


class SourceUnavailable(Unavailable):
    """The source cannot be listed."""

    code = "source_unavailable"


class NotModified(Exception):
    """The file is as it was."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    path: str
    """Below the source, with slashes; unique within it."""
    refused: str = ""
    """Why it will not be read; its bytes were not looked at."""


class Source(Protocol):
    location: str
    """Where it is: what it is called unless it is given a name."""

    def entries(self) -> Iterator[Entry]:
        """Yield what is there; raise SourceUnavailable if that cannot be said."""

    def fetch(self, path: str, validators: dict[str, str] | None = None) -> SourceFile:
        """Return a file; raise Unreadable with the reason, also for one that is too large.

        Raise NotModified if it is as it was when its `validators` came with it.
        """
