"""Which file a document belongs to: no file replaces what another file, another source or another way wrote."""

from collections.abc import Sequence
from dataclasses import dataclass

from retrieval.errors import DocumentOwned
from retrieval.models import Document, Index, IngestionRun, SourceDocument, SourceFile
from retrieval.models.ingestion import is_table

_REMEDY = "Rename one of them, give the source ids of its own with --id-prefix, or use another index"


@dataclass(frozen=True, kw_only=True)
class FileClaim:
    """The file that a text was read from, and the run that read it."""

    file: SourceFile
    run: IngestionRun | None = None


def refusals(index: Index, claims: Sequence[tuple[str, SourceFile]]) -> dict[int, DocumentOwned]:
    """Return why files may not write documents, by the position of the claim: a document's id, and the file."""
    ids = {entity_id for entity_id, _ in claims}
    rows = Document.objects.filter(index=index, entity_id__in=ids).select_related("origin__file", "version")
    documents = {row.entity_id: row for row in rows.defer("text", "metadata", "version__text", "version__metadata")}
    named = _named(index, claims)
    first: dict[str, SourceFile] = {}
    refused: dict[int, DocumentOwned] = {}
    for position, (entity_id, file) in enumerate(claims):
        document = documents.get(entity_id)
        owner = named.get((file.source, entity_id)) or first.get(entity_id)
        reason = _refusal(document, file) if document else None
        if reason is None and owner is not None and not _is_same(owner, file):
            reason = owned_by(owner, entity_id, file)
        if reason is None:
            first[entity_id] = file
        else:
            refused[position] = reason
    return refused


def check_owner(document: Document, claim: FileClaim) -> None:
    """Raise DocumentOwned if the document, which is locked, was written from another file or by other means."""
    if refused := _refusal(document, claim.file):
        raise refused


def own(claims: Sequence[tuple[Document, bool, FileClaim, str]]) -> None:
    """Store whose the documents are, in the transaction that wrote them; raise DocumentOwned, and all is undone.

    Each entry is a document that is locked, whether it was served before, the claim, and the content hash.
    """
    documents = [document for document, *_ in claims]
    owners = {
        origin.document_id: origin.file
        for origin in SourceDocument.objects.filter(document__in=documents).select_related("file")
    }
    for document, was_served, claim, _ in claims:
        owner = owners.get(document.pk)
        if owner is not None and owner.pk != claim.file.pk:
            raise owned_by(owner, document.entity_id, claim.file)
        if owner is None and was_served and (refused := _refusal(document, claim.file)):
            raise refused
    SourceDocument.objects.bulk_create(
        [
            SourceDocument(document=document, file=claim.file, run=claim.run, content_hash=digest)
            for document, _, claim, digest in claims
        ],
        update_conflicts=True, unique_fields=["document"], update_fields=["content_hash", "run"],
    )  # fmt: skip


def _named(index: Index, claims: Sequence[tuple[str, SourceFile]]) -> dict[tuple[str, str], SourceFile]:
    """Return the files that have one of these ids for themselves, be they indexed or not, by source and id."""
    sources, ids = {file.source for _, file in claims}, {entity_id for entity_id, _ in claims}
    files = SourceFile.objects.filter(index=index, source__in=sources, name__in=ids)
    return {(file.source, file.name): file for file in files if not is_table(file.path)}


def _is_same(one: SourceFile, other: SourceFile) -> bool:
    return (one.source, one.path) == (other.source, other.path)


def _refusal(document: Document, file: SourceFile) -> DocumentOwned | None:
    """Return why the file may not write the document: it is another file's, or was written by other means."""
    origin = getattr(document, "origin", None)
    if origin is not None:
        return None if _is_same(origin.file, file) else owned_by(origin.file, document.entity_id, file)
    if document.deleted_at is not None:
        return None
    version = document.version
    if version is not None and version.source == f"index_documents {file.path}"[:100]:
        return None  # it was this file's, from before files were stored with what they wrote
    wrote = f"by {version.source}" if version else "by other means"
    author = f" ({version.author})" if version and version.author else ""
    return DocumentOwned(
        f"The document {document.entity_id!r} was written {wrote}{author}, and not from {file.path} of the source "
        f"{file.source}. Delete it first, give the source ids of its own with --id-prefix, or use another index."
    )


def owned_by(owner: SourceFile, entity_id: str, file: SourceFile) -> DocumentOwned:
    """Return why a file may not write a document that belongs to another one."""
    is_moved = owner.source != file.source and owner.path == file.path
    also = f"; if the source was only moved, say --source {owner.source!r}" if is_moved else ""
    return DocumentOwned(
        f"{owner.path} of the source {owner.source} is the document {entity_id!r} already, so that {file.path} of the "
        f"source {file.source} cannot be it. {_REMEDY}{also}."
    )
