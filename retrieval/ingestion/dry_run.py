"""Report what an ingestion run would change, without changing anything."""

from collections.abc import Iterator
from dataclasses import replace

from common.errors import FabraError
from common.text import storable
from retrieval.indexing.document_input import check_document
from retrieval.indexing.ownership import refusals
from retrieval.ingestion.closed import Refused, open_documents, readers_of, unread
from retrieval.ingestion.naming import choose_names
from retrieval.ingestion.page_ends import repeated_elsewhere, repeated_ends
from retrieval.ingestion.runs import RunOptions, check_prune
from retrieval.models import Document, Index, SourceDocument, SourceFile
from retrieval.readers import AudienceUnknown, Empty, ReadDocument, ReadWarning, Unreadable, read
from retrieval.readers.audience import split_audience
from retrieval.sources import open_source


def compare(index_name: str, location: str, options: RunOptions, *, source: str = "") -> Iterator[str]:
    """Yield the lines of `_compare` as a terminal takes them, whatever names and reasons have in them."""
    yield from map(storable, _compare(index_name, location, options, source))


def _compare(index_name: str, location: str, options: RunOptions, source: str) -> Iterator[str]:
    """Yield a line for each document that would change, be refused or go, and a last line with the counts.

    Raise InvalidInput for a location that does not exist, or SourceUnavailable.
    """
    opened = open_source(location, allow_private=options.allow_private)
    counts = {"new": 0, "changed": 0, "unchanged": 0, "unreadable": 0, "gone": 0}
    entries, own = list(opened.entries()), source or opened.location
    check_prune(opened, options)
    own_files = SourceFile.objects.filter(index__name=index_name, source=own)
    known = {file.path: file for file in own_files.only("path", "name")}
    names = choose_names(
        [entry.path for entry in entries if not entry.refused],
        {path: file.name for path, file in known.items()},
        options.id_prefix,
    )
    served = SourceDocument.objects.as_served().filter(file__index__name=index_name, file__source=own)
    repeated = repeated_ends(own_files)
    read_whole, seen = set[str](), set[str]()
    for entry in entries:
        file = SourceFile(source=own, path=entry.path, name=names.get(entry.path, ""))
        if (found := known.get(entry.path)) is not None:
            file.pk, file.name = found.pk, found.name or file.name
        reading = replace(options.reading, repeated=repeated_elsewhere(repeated, file.pk))
        refused: Refused = {}
        own_ids = set[str]()
        try:
            if entry.refused:
                raise Unreadable(entry.refused)
            for document in read(replace(opened.fetch(entry.path), name=file.name), reading):
                if isinstance(document, ReadWarning):
                    yield f"warning: {entry.path}: {document.message}"
                    continue
                own_ids.add(document.entity_id)
                refused = {document.entity_id: readers_of(split_audience(document.metadata, options.audience)[1])}
                kind = _kind(index_name, file, document, options)
                refused = {}
                counts[kind] += 1
                if kind != "unchanged":
                    yield f"{kind}: {document.entity_id}"
            read_whole.add(entry.path)
        except (Unreadable, FabraError) as error:
            if isinstance(error, Empty):
                read_whole.add(entry.path)
            counts["unreadable"] += 1
            yield f"unreadable: {entry.path}: {error}"
            rows = served.filter(file__path=entry.path)
            refused |= unread(rows, own_ids) if isinstance(error, AudienceUnknown) else {}
            for entity_id in open_documents(rows, refused):
                counts["gone"] += 1
                yield f"gone: {entity_id}"
        seen |= own_ids
    paths = {entry.path for entry in entries}
    not_listed = tuple(f"{entry.path}/" for entry in entries if entry.refused)
    if options.prune:
        for entity_id, path in served.values_list("document__entity_id", "file__path"):
            is_gone = path not in paths and not path.startswith(not_listed)
            if is_gone or (entity_id not in seen and path in read_whole):
                counts["gone"] += 1
                yield f"gone: {entity_id}"
    yield ", ".join(f"{count} {name}" for name, count in counts.items()) + f", in the index {index_name}."


def _kind(index_name: str, file: SourceFile, document: ReadDocument, options: RunOptions) -> str:
    """Return "new", "changed" or "unchanged"; raise InvalidInput, or DocumentOwned if it is another file's."""
    metadata, audience = split_audience(document.metadata, options.audience)
    content = check_document(
        index_name, document.entity_id, document.text, metadata | options.metadata, document.title, audience
    )
    index = Index.objects.filter(name=index_name).first()
    if index and (refused := refusals(index, [(content.entity_id, file)])):
        raise refused[0]
    known = Document.objects.live().filter(index=index, entity_id=content.entity_id)
    served = known.values_list("version__content_hash", flat=True).first()
    return "new" if served is None else "unchanged" if served == content.digest else "changed"
