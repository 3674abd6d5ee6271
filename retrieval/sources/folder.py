"""Read the files of a folder, or a single file; the members of archives are included."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from django.conf import settings

from retrieval.readers import FetchedFile, Unreadable, is_readable
from retrieval.sources.archive import Archive
from retrieval.sources.entries import Entry, SourceUnavailable

_LINK = "a link out of the folder"


class Folder:
    """The files of a folder, or one file, as a source."""

    is_partial = False

    def __init__(self, path: Path) -> None:
        self.root = path.resolve() if path.is_dir() else path.resolve().parent
        self.only = None if path.is_dir() else path.resolve()
        self.location = str(path.resolve())

    def entries(self) -> Iterator[Entry]:
        """Yield the readable files in order, without hidden ones."""
        found = [self.only] if self.only else sorted(self.root.rglob("*"))
        for file in found:
            path = file.relative_to(self.root)
            if any(part.startswith(".") for part in path.parts) or not file.is_file():
                continue
            is_archive = file.suffix.lower() == ".zip"
            if not self._is_inside(file):
                if is_archive or is_readable(file.name):
                    yield Entry(path=path.as_posix(), refused=_LINK)
            elif is_archive:
                yield from self._entries_of_archive(file, path.as_posix())
            elif is_readable(file.name) or self.only:
                yield Entry(path=path.as_posix())

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


def _read(file: Path) -> bytes:
    try:
        check_size(file.stat().st_size)
        with file.open("rb") as stream:
            content = stream.read(settings.FABRA_FILE_MAX_BYTES + 1)
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__) from None
    check_size(len(content))
    return content


def check_size(size: int) -> None:
    """Raise Unreadable for a file larger than FABRA_FILE_MAX_BYTES."""
    if size > settings.FABRA_FILE_MAX_BYTES:
        raise Unreadable(f"{size:,} bytes, and the limit is {settings.FABRA_FILE_MAX_BYTES:,}")
