"""Report what an ingestion run would change, without changing anything."""

from collections.abc import Iterator

from common.errors import FabraError
from retrieval.indexing.document_input import check_document
from retrieval.ingestion.runs import RunOptions
from retrieval.models import Document, SourceDocument
from retrieval.readers import ReadWarning, Unreadable, read
from retrieval.readers.documents import split_audience
from retrieval.sources import open_source


def compare(index_name: str, location: str, options: RunOptions, *, source: str = "") -> Iterator[str]:
    """Yield a line for each document that would change, be refused or be pruned, and a last line with the counts.

    Raise InvalidInput for a location that does not exist, or SourceUnavailable.
    """
    opened = open_source(location, allow_private=options.allow_private)
    counts = {"new": 0, "changed": 0, "unchanged": 0, "unreadable": 0, "gone": 0}
    paths, seen = set(), set()
    for entry in opened.entries():
        paths.add(entry.path)
        try:
            if entry.refused:
                raise Unreadable(entry.refused)
            for document in read(opened.fetch(entry.path), options.reading):
                if isinstance(document, ReadWarning):
                    yield f"warning: {entry.path}: {document.message}"
                    continue
                seen.add(document.entity_id)
                metadata, audience = split_audience(document.metadata, options.audience)
                content = check_document(
                    index_name, document.entity_id, document.text, metadata | options.metadata, document.title, audience
                )
                kind = _kind(index_name, document.entity_id, content.digest)
                counts[kind] += 1
                if kind != "unchanged":
                    yield f"{kind}: {document.entity_id}"
        except (Unreadable, FabraError) as error:
            counts["unreadable"] += 1
            yield f"unreadable: {entry.path}: {error}"
    if options.prune:
        own = SourceDocument.objects.as_served().filter(
            file__index__name=index_name, file__source=source or opened.location
        )
        for entity_id, path in own.values_list("document__entity_id", "file__path"):
            if path not in paths or (entity_id not in seen and path in paths):
                counts["gone"] += 1
                yield f"gone: {entity_id}"
    yield ", ".join(f"{count} {name}" for name, count in counts.items()) + f", in the index {index_name}."


def _kind(index_name: str, entity_id: str, digest: str) -> str:
    known = Document.objects.live().filter(index__name=index_name, entity_id=entity_id)
    served = known.values_list("version__content_hash", flat=True).first()
    return "new" if served is None else "unchanged" if served == digest else "changed"
