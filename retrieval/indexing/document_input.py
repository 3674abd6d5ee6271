"""The input of indexing, checked, with its origin; and the result of indexing."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from django.conf import settings

from common.errors import InvalidInput
from common.text import single_line
from common.validation import check_key, check_text, to_json
from retrieval.errors import DocumentTooLarge
from retrieval.indexing.chunking import title_of
from retrieval.indexing.ownership import FileClaim
from retrieval.indexing.preconditions import Precondition
from retrieval.models import Document, DocumentVersion
from retrieval.readers.data_uris import without_data_uris
from retrieval.readers.documents import says_nothing
from retrieval.search.filters import check_audience


@dataclass(frozen=True, kw_only=True)
class DocumentContent:
    """A checked document, as it will be stored."""

    entity_id: str
    title: str
    text: str
    metadata: dict[str, Any]
    audience: list[str]

    @classmethod
    def of_version(cls, document: Document, version: DocumentVersion) -> Self:
        return cls(
            entity_id=document.entity_id,
            title=version.title,
            text=version.text,
            metadata=version.metadata,
            audience=version.audience,
        )

    @property
    def digest(self) -> str:
        return content_digest(self.title, self.text, self.metadata, self.audience)


@dataclass(frozen=True, kw_only=True)
class DocumentOrigin:
    """The origin of a state of a document."""

    source: str = "code"
    """How it arrived: by an event, the API, a command, or code."""
    author: str = ""
    """Who wrote it."""
    occurred_at: datetime | None = None
    """When the document was in this state; None: now, when it is written."""
    set_at: Mapping[str, datetime] = field(default_factory=dict)
    """When the audience and the metadata were set, by their names, if by an earlier change than this one."""
    after_event: int | None = None
    """The newest event when the document came to this state; None: the newest one now."""
    claim: FileClaim | None = None
    """The file that it was read from."""
    precondition: Precondition | None = None
    """What the document must be like before."""


@dataclass(frozen=True, kw_only=True)
class IndexResult:
    """What indexing a document did."""

    document_id: str
    version: int
    is_changed: bool
    """False: this text, title, metadata and audience were already served."""
    chunk_count: int
    embedded_count: int
    """Chunks that had to be embedded; the others kept their vectors."""
    is_superseded: bool = False
    """True: the document is in a later state, so this one was not applied."""


def content_digest(title: str, text: str, metadata: dict[str, Any], audience: list[str]) -> str:
    """Return the SHA-256 by which two states of a document are compared."""
    parts = [title, text, metadata, *([audience] if audience else [])]
    return hashlib.sha256(to_json(parts, "document").encode()).hexdigest()


def check_index_name(name: Any, what: str = "index_name") -> str:
    """Return the name; raise InvalidInput unless an index can have it."""
    return check_key(name, what, max_chars=200)


def check_document(
    index_name: str,
    entity_id: str,
    text: str,
    metadata: dict[str, Any] | None = None,
    title: str | None = "",
    audience: Sequence[str] | None = (),
) -> DocumentContent:
    """Return the document ready to be stored; raise InvalidInput or DocumentTooLarge.

    Pictures and files that are embedded as data URIs are no text, however the document came, and are left out.
    """
    check_index_name(index_name)
    check_key(entity_id, "entity_id")
    if says_nothing(check_text(text, "text")):
        raise InvalidInput("text must not be empty; to withdraw a document, delete it.")
    text, _ = without_data_uris(text)
    if says_nothing(text):
        raise InvalidInput("text has nothing but embedded pictures or files; to withdraw a document, delete it.")
    if len(text.encode()) > settings.FABRA_DOCUMENT_MAX_BYTES:
        raise DocumentTooLarge(f"text must have at most {settings.FABRA_DOCUMENT_MAX_BYTES} bytes.")
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict):
        raise InvalidInput("metadata must be an object.")
    if len(to_json(metadata, "metadata").encode()) > settings.FABRA_METADATA_MAX_BYTES:
        raise InvalidInput(f"metadata must have at most {settings.FABRA_METADATA_MAX_BYTES} bytes of JSON.")
    names = check_audience(audience)
    if isinstance(names, str):
        raise InvalidInput("A document is for everyone when its audience is empty.")
    return DocumentContent(
        entity_id=entity_id,
        title=title_for(entity_id, text, metadata, title),
        text=text,
        metadata=metadata,
        audience=names,
    )


def title_for(entity_id: str, text: str, metadata: dict[str, Any], title: str | None = "") -> str:
    """Return a document's title: the given one, that of the metadata, the first heading, or its id."""
    chosen = title or metadata.get("title") or title_of(text) or entity_id
    return (single_line(check_text(chosen if isinstance(chosen, str) else str(chosen), "title")) or entity_id)[:500]
