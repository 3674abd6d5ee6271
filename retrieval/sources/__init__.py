"""Sources: list and fetch the files to ingest; one module for each kind of source."""

from pathlib import Path

from common.errors import InvalidInput
from retrieval.sources.archive import Archive
from retrieval.sources.entries import Entry, NotModified, Source, SourceUnavailable
from retrieval.sources.folder import Folder
from retrieval.sources.sitemap import Sitemap

__all__ = [
    "Archive",
    "Entry",
    "Folder",
    "NotModified",
    "Sitemap",
    "Source",
    "SourceUnavailable",
    "is_remote",
    "open_source",
]


def is_remote(location: str) -> bool:
    """Return whether listing a source waits for another machine."""
    return location.startswith(("http://", "https://"))


def open_source(location: str, *, allow_private: bool = False) -> Source:
    """Return the source for a path or a sitemap's URL; raise InvalidInput if there is none."""
    if is_remote(location):
        return Sitemap(location, allow_private=allow_private)
    path = Path(location)
    if not path.exists():
        raise InvalidInput(f"There is no {location}.")
    return Archive(path) if path.is_file() and path.suffix.lower() == ".zip" else Folder(path)
