"""Files that somebody uploaded for a run; they lie in the database, where every worker can read them."""

import io
from collections.abc import Iterator

from retrieval.models import IngestionRun
from retrieval.readers import SourceFile, Unreadable
from retrieval.sources.archive import Archive
from retrieval.sources.entries import Entry
from retrieval.sources.folder import check_size


class Uploads:
    def __init__(self, run: IngestionRun) -> None:
        self.location = ""
        self._run = run
        self._archives: dict[str, Archive] = {}

    def entries(self) -> Iterator[Entry]:
        """Yield the files, and those in the archives; the only archive's are not put below its name."""
        for name in self._names():
            if name.lower().endswith(".zip"):
                yield from self._archive(name).entries()
            else:
                yield Entry(path=name)

    def fetch(self, path: str, validators: dict[str, str] | None = None) -> SourceFile:
        names = self._names()
        if path in names:
            content = self._content(path)
            check_size(len(content))
            return SourceFile(path=path, content=content)
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
