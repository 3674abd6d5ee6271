"""Read the files that were uploaded for a run; they are stored in the database, where every worker can read them."""

import io
from collections.abc import Iterator

from retrieval.models import IngestionRun
from retrieval.readers import FetchedFile, Unreadable
from retrieval.sources.archive import Archive
from retrieval.sources.entries import Entry, SourceUnavailable
from retrieval.sources.folder import check_size


class Uploads:
    """The uploaded files of a run, as a source."""

    is_partial = False

    def __init__(self, run: IngestionRun) -> None:
        self.location = ""
        self._run = run
        self._archives: dict[str, Archive] = {}

    def entries(self) -> Iterator[Entry]:
        """Yield the files and the members of archives; a single archive's name is not part of the paths.

        Raise SourceUnavailable if a single archive is broken; one of several is an entry of its own.
        """
        names = self._names()
        for name in names:
            if not name.lower().endswith(".zip"):
                yield Entry(path=name)
                continue
            try:
                yield from self._archive(name).entries()
            except SourceUnavailable as error:
                if len(names) == 1:
                    raise SourceUnavailable(f"{name}: {error}") from error
                yield Entry(path=name, refused=str(error))

    def fetch(self, path: str, validators: dict[str, str] | None = None) -> FetchedFile:
        names = self._names()
        if path in names:
            content = self._content(path)
            check_size(len(content))
            return FetchedFile(path=path, content=content)
        for name in names:
            archive = self._archive(name) if name.lower().endswith(".zip") else None
            if archive and path.startswith(archive.prefix):
                return archive.fetch(path)
        raise Unreadable("it was removed")

    def _names(self) -> list[str]:
        return list(self._run.uploads.order_by("name").values_list("name", flat=True))

    def _archive(self, name: str) -> Archive:
        if name not in self._archives:
            prefix = "" if len(self._names()) == 1 else name
            self._archives[name] = Archive(io.BytesIO(self._content(name)), prefix=prefix)
        return self._archives[name]

    def _content(self, name: str) -> bytes:
        return bytes(self._run.uploads.values_list("content", flat=True).get(name=name))
