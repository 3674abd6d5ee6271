"""The protocol of sources, and the entries that they list."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from common.errors import Unavailable
from retrieval.readers import FetchedFile

UNREAD_LIST = "a sitemap that is not read: "
"""How the reason begins for a list of files that is not read: it is then not known which files the source has."""

UNREAD_FOLDER = "a folder that cannot be read: "
"""How the reason begins for a folder whose files are not known; those that it had before stay."""


class SourceUnavailable(Unavailable):
    """The source cannot be listed."""

    code = "source_unavailable"


class NotModified(Exception):
    """The file has not changed since its validators (ETag, Last-Modified) were returned."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file that a source lists."""

    path: str
    """Relative to the source, with slashes; unique within it."""
    refused: str = ""
    """Why it will not be read, decided without reading its content; empty if it will be."""


class Source(Protocol):
    """A collection of files to ingest."""

    location: str
    """Its path or URL, which is also its name by default."""
    is_partial: bool
    """Whether it lists only the newest of its files, as a feed does; known once the entries were listed."""

    def entries(self) -> Iterator[Entry]:
        """Yield the entries; raise SourceUnavailable if they cannot be listed."""

    def fetch(self, path: str, validators: dict[str, str] | None = None) -> FetchedFile:
        """Return a file; raise Unreadable with the reason, also for a file that is too large.

        Raise NotModified if the file has not changed since it was fetched with these `validators`.
        """
