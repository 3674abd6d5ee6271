"""Report what an ingestion run would change, without changing anything."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from django.db.models import QuerySet

from common.errors import FabraError
from common.text import storable
from retrieval.indexing.document_input import check_document
from retrieval.indexing.ownership import owned_by, refusals
from retrieval.ingestion.closed import Refused, left_as_they_were, open_documents, readers_of, unread
from retrieval.ingestion.naming import choose_names
from retrieval.ingestion.page_ends import repeated_elsewhere, repeated_ends
from retrieval.ingestion.runs import RunOptions, check_prune
from retrieval.models import Document, Index, SourceDocument, SourceFile
from retrieval.models.ingestion import is_table
from retrieval.readers import AudienceUnknown, Empty, FetchedFile, ReadDocument, ReadWarning, Unreadable, read
from retrieval.readers.audience import split_audience
from retrieval.sources import Entry, Source, open_source

_SHOWN = 20
"""The refused documents of a file that are listed; the others are counted."""


def compare(index_name: str, location: str, options: RunOptions, *, source: str = "") -> Iterator[str]:
    """Yield a line for each document that would change, be refused or go, and a last line with the counts.

    Names and reasons are written as a terminal takes them. Raise InvalidInput for a location that does not exist, or
    SourceUnavailable.
    """
    yield from map(storable, _compare(index_name, location, options, source))


def _compare(index_name: str, location: str, options: RunOptions, source: str) -> Iterator[str]:
    opened = open_source(location, allow_private=options.allow_private)
    entries = list(opened.entries())
    check_prune(opened, options)
    comparison = _Comparison(index_name, opened, options, source or opened.location, entries)
    for entry in entries:
        yield from comparison.lines_of(entry)
    if options.prune:
        yield from comparison.pruned()
    counts = ", ".join(f"{count} {name}" for name, count in comparison.counts.items())
    yield f"{counts}, in the index {index_name}."


@dataclass
class _Reading:
    """What was read of a file so far."""

    ids: set[str] = field(default_factory=set)
    refused: Refused = field(default_factory=dict)
    """Who may read each document that a run would not index; see `closed`."""
    refused_count: int = 0
    again: int = 0
    hides_rows: bool = False
    """Rows of it may be within others: see `ReadWarning`."""
    error: Exception | None = None
    """Why the rest of it, or all of it, could not be read."""


class _Comparison:
    def __init__(self, index_name: str, opened: Source, options: RunOptions, source: str, entries: list[Entry]) -> None:
        self.index_name, self.opened, self.options, self.source = index_name, opened, options, source
        self.counts = {"new": 0, "changed": 0, "unchanged": 0, "unreadable": 0, "gone": 0}
        self.paths = {entry.path for entry in entries}
        self.not_listed = tuple(f"{entry.path}/" for entry in entries if entry.refused)
        files = SourceFile.objects.filter(index__name=index_name, source=source)
        self.known = {file.path: file for file in files.only("path", "name")}
        self.names = choose_names(
            [entry.path for entry in entries if not entry.refused],
            {path: file.name for path, file in self.known.items()},
            options.id_prefix,
        )
        leaving = [path for path in self.known if self._is_gone(path)] if options.prune else []
        self.repeated = repeated_ends(files.exclude(path__in=leaving))
        self.served = SourceDocument.objects.as_served().filter(file__index__name=index_name, file__source=source)
        self.owners = {name: path for path, name in self.names.items() if name and not is_table(path)}
        """The file of each document that this source writes; the id of a page is its own before all rows."""
        self.read_whole: dict[str, set[str]] = {}
        """The ids that were found in each file that a run could read and index as a whole."""

    def lines_of(self, entry: Entry) -> Iterator[str]:
        """Yield what a run would say of a file and its documents."""
        file = SourceFile(source=self.source, path=entry.path, name=self.names.get(entry.path, ""))
        if (found := self.known.get(entry.path)) is not None:
            file.pk, file.name = found.pk, found.name or file.name
        reading = _Reading()
        try:
            if entry.refused:
                raise Unreadable(entry.refused)
            yield from self._lines_of_documents(file, self.opened.fetch(entry.path), reading)
        except (Unreadable, FabraError) as error:
            reading.error = error
            yield self._unreadable(file, reading, error)
        if reading.again:
            yield f"warning: {file.path}: {reading.again:,} documents have the id of an earlier one, and are left out."
        if reading.refused_count > _SHOWN:
            yield f"refused: {reading.refused_count - _SHOWN:,} more documents of {file.path}"
        is_empty = isinstance(reading.error, Empty)
        if not reading.refused_count and not reading.hides_rows and (reading.error is None or is_empty):
            self.read_whole[file.path] = reading.ids
        if reading.refused_count or reading.error is not None:
            self.counts["unreadable"] += 1
        yield from self._withdrawn(file, reading)

    def pruned(self) -> Iterator[str]:
        for entity_id, path in self.served.values_list("document__entity_id", "file__path"):
            if self._is_gone(path) or (path in self.read_whole and entity_id not in self.read_whole[path]):
                self.counts["gone"] += 1
                yield f"gone: {entity_id}"

    def _is_gone(self, path: str) -> bool:
        return path not in self.paths and not path.startswith(self.not_listed)

    def _served_of(self, file: SourceFile) -> QuerySet[SourceDocument]:
        return self.served.filter(file__path=file.path)

    def _lines_of_documents(self, file: SourceFile, fetched: FetchedFile, reading: _Reading) -> Iterator[str]:
        options = replace(self.options.reading, repeated=repeated_elsewhere(self.repeated, file.pk))
        for document in read(replace(fetched, name=file.name), options):
            if isinstance(document, ReadWarning):
                reading.hides_rows |= document.hides_rows
                yield f"warning: {file.path}: {document.message}"
            elif document.entity_id in reading.ids:
                reading.again += 1
            else:
                reading.ids.add(document.entity_id)
                yield from self._line_of(file, document, reading)

    def _line_of(self, file: SourceFile, document: ReadDocument, reading: _Reading) -> Iterator[str]:
        try:
            kind = self._kind(file, document)
        except FabraError as error:
            audience = split_audience(document.metadata, self.options.audience)[1]
            reading.refused[document.entity_id] = readers_of(audience)
            reading.refused_count += 1
            if reading.refused_count <= _SHOWN:
                yield f"refused: {document.entity_id}: {error}"
            return
        self.counts[kind] += 1
        if kind != "unchanged":
            yield f"{kind}: {document.entity_id}"

    def _kind(self, file: SourceFile, document: ReadDocument) -> str:
        """Return "new", "changed" or "unchanged"; raise InvalidInput, or DocumentOwned if it is another file's."""
        metadata, audience = split_audience(document.metadata, self.options.audience)
        content = check_document(
            self.index_name, document.entity_id, document.text, metadata | self.options.metadata, document.title,
            audience,
        )  # fmt: skip
        if (owner := self.owners.setdefault(content.entity_id, file.path)) != file.path:
            raise owned_by(SourceFile(source=self.source, path=owner), content.entity_id, file)
        index = Index.objects.filter(name=self.index_name).first()
        if index and (refused := refusals(index, [(content.entity_id, file)])):
            raise refused[0]
        known = Document.objects.live().filter(index=index, entity_id=content.entity_id)
        served = known.values_list("version__content_hash", flat=True).first()
        return "new" if served is None else "unchanged" if served == content.digest else "changed"

    def _unreadable(self, file: SourceFile, reading: _Reading, error: Exception) -> str:
        left = ""
        if isinstance(error, AudienceUnknown):
            reading.refused |= unread(self._served_of(file), reading.ids)
        elif reading.ids:
            left = left_as_they_were(len(unread(self._served_of(file), reading.ids)))
        return f"unreadable: {file.path}: {error}{left}"

    def _withdrawn(self, file: SourceFile, reading: _Reading) -> Iterator[str]:
        """Yield the documents of a file that others find than may read them, and that a run would withdraw."""
        for entity_id in open_documents(self._served_of(file), reading.refused) if reading.refused else ():
            self.counts["gone"] += 1
            yield f"gone: {entity_id}"
