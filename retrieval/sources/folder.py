"""Read the files of a folder, or a single file; the members of archives are included."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from django.conf import settings

from retrieval.readers import FetchedFile, Unreadable, is_readable, unread_reason
from retrieval.sources.archive import Archive
from retrieval.sources.entries import UNREAD_FOLDER, Entry, SourceUnavailable

_LINK = "a link out of the folder"


class Folder:
    """The files of a folder, or one file, as a source."""

    is_partial = False

    def __init__(self, path: Path) -> None:
        self.root = path.resolve() if path.is_dir() else path.resolve().parent
        self.only = None if path.is_dir() else path.resolve()
        self.location = str(path.resolve())

    def entries(self) -> Iterator[Entry]:
        """Yield the readable files in order, without hidden ones, and the folders that cannot be read.

        Raise SourceUnavailable if that is the whole folder.
        """
        unread: dict[Path, str] = {}
        found = [self.only] if self.only else self._found(unread)
        if reason := unread.get(self.root):
            raise SourceUnavailable(f"{self.root} cannot be read: {reason}.")
        for file in sorted([*found, *unread]):
            path = file.relative_to(self.root)
            if any(part.startswith(".") for part in path.parts):
                continue
            if file in unread:
                yield Entry(path=path.as_posix(), refused=f"{UNREAD_FOLDER}{unread[file]}")
                continue
            if not _is_file(file):
                continue
            is_archive = file.suffix.lower() == ".zip"
            if not self._is_inside(file):
                if is_archive or is_readable(file.name):
                    yield Entry(path=path.as_posix(), refused=_LINK)
            elif is_archive:
                yield from self._entries_of_archive(file, path.as_posix())
            elif is_readable(file.name) or self.only:
                yield Entry(path=path.as_posix())
            elif reason := unread_reason(file.name):
                yield Entry(path=path.as_posix(), refused=reason)

    def _found(self, unread: dict[Path, str]) -> list[Path]:
        """Return what is in the folder but folders; add those that cannot be read, with the reason, to `unread`."""

        def note(error: OSError) -> None:
            unread[Path(error.filename)] = _reason(error)

        return [Path(folder, name) for folder, _, names in os.walk(self.root, onerror=note) for name in names]

    def fetch(self, path: str, validators: dict[str, str] | None = None) -> FetchedFile:
        if not self._is_inside(self.root / path):
            raise Unreadable(_LINK)
        for parent in reversed(PurePosixPath(path).parents):
            if parent.suffix.lower() == ".zip" and (self.root / parent).is_file():
                return Archive(self.root / parent, prefix=parent.as_posix()).fetch(path)
        return FetchedFile(path=path, content=_read(self.root / path))

    def _is_inside(self, file: Path) -> bool:
        return bool(self.only) or file.resolve().is_relative_to(self.root.resolve())

    def _entries_of_archive(self, file: Path, path: str) -> Iterator[Entry]:
        try:
            yield from Archive(file, prefix=path).entries()
        except SourceUnavailable as error:
            yield Entry(path=path, refused=str(error))


def _is_file(file: Path) -> bool:
    """Return whether it is a file; what cannot be looked at is taken for one, so that its reading fails."""
    try:
        return file.is_file()
    except OSError:
        return True


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _read(file: Path) -> bytes:
    try:
        check_size(file.stat().st_size)
        with file.open("rb") as stream:
            content = stream.read(settings.FABRA_FILE_MAX_BYTES + 1)
    except OSError as error:
        raise Unreadable(_reason(error)) from None
    check_size(len(content))
    return content


def check_size(size: int) -> None:
    """Raise Unreadable for a file larger than FABRA_FILE_MAX_BYTES."""
    if size > settings.FABRA_FILE_MAX_BYTES:
        raise Unreadable(f"{size:,} bytes, and the limit is {settings.FABRA_FILE_MAX_BYTES:,}")
