"""Read what a source says of its objects, and make documents of it."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, connection, models

from common.errors import InvalidInput
from common.text import storable
from retrieval.errors import ObjectUnreadable
from retrieval.indexing.bulk import Draft
from retrieval.indexing.document_input import DocumentContent, DocumentOrigin
from retrieval.model_sources import relations
from retrieval.model_sources.declaration import ModelSourceSpec
from retrieval.readers import Empty, FetchedFile, ReadDocument, ReadWarning, Unreadable, read
from retrieval.readers.data_uris import without_data_uris
from retrieval.readers.documents import VERSION, says_nothing


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a source says of an object, or why it could not be read."""

    source: ModelSourceSpec
    pk: str
    text: str = ""
    """As the source has it; nothing in it: the object is no document."""
    title: str = ""
    metadata: dict[str, Any] | None = None
    audience: tuple[str, ...] | None = None
    """The names of those who may find it, none for everyone; None: it is not known."""
    digest: str = ""
    """SHA-256 of all that the source says, and of how it is read."""
    error: str = ""
    warnings: list[dict[str, str]] = field(default_factory=list, compare=False)
    """What reading the text left out or guessed, once there is a draft of it."""

    @property
    def entity_id(self) -> str:
        return self.source.entity_id(self.pk)

    @property
    def is_document(self) -> bool:
        return not self.error and not says_nothing(self.text)

    def draft(self, origin: DocumentOrigin) -> Draft | None:
        """Return the document; None for a page without text. Raise ObjectUnreadable."""
        title, text = self.title, self.text
        if self.source.format == "html":
            title_of_page, text = self._read_page()
            if says_nothing(text):
                return None
            title = title or title_of_page
        else:
            text, warnings = without_data_uris(text)
            self.warnings[:] = [warning.to_dict() for warning in warnings]
            if says_nothing(text):
                return None
        return self._draft(title, text, origin)

    def content(self) -> DocumentContent | None:
        """Return the checked document; None for an object that is none. Raise InvalidInput or ObjectUnreadable."""
        if self.error:
            raise ObjectUnreadable(self.error)
        draft = self.draft(DocumentOrigin()) if self.is_document else None
        return draft.check(self.source.index) if draft else None

    def as_said(self) -> DocumentContent:
        """Return the document with its text as the source has it: HTML is not read. Raise InvalidInput."""
        return self._draft(self.title, self.text, DocumentOrigin()).check(self.source.index)

    def _draft(self, title: str, text: str, origin: DocumentOrigin) -> Draft:
        return Draft(
            entity_id=self.entity_id, text=text, title=title, metadata=self.metadata or {},
            audience=self.audience or (), origin=origin,
        )  # fmt: skip

    def _read_page(self) -> tuple[str, str]:
        """Return the title and the text of the page; raise ObjectUnreadable, whatever its reader does."""
        self.warnings.clear()
        title = text = ""
        try:
            page = FetchedFile(
                path="page.html", content=self.text.encode(), content_type="text/html; charset=utf-8",
                url=str((self.metadata or {}).get("url", "")), name="page",
            )  # fmt: skip
            for found in read(page):
                if isinstance(found, ReadDocument):
                    title, text = found.title, found.text
                elif isinstance(found, ReadWarning):
                    self.warnings.append(found.to_dict())
        except Empty:
            return "", ""
        except Exception as error:  # one page must not end the reading of the others
            why = str(error) if isinstance(error, Unreadable) else f"its reader raised {type(error).__name__}"
            raise ObjectUnreadable(f"text() is no page that can be read: {why}.") from None
        return title, text


def database_now() -> datetime:
    """Return the time of the database's clock, by which readings in all processes are ordered."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def find(source: ModelSourceSpec, pks: Iterable[str]) -> dict[str, Reading]:
    """Return what the source says of these objects by their keys; one that is not in its queryset is missing."""
    wanted = [key for pk in pks if (key := source.key(pk)) is not None]
    objects = list(source.queryset().filter(pk__in=wanted))
    return {reading.pk: reading for reading in read_all(source, objects)}


def read_all(source: ModelSourceSpec, objects: Sequence[models.Model]) -> Iterable[Reading]:
    """Yield what the source says of the objects; an error of one is told in its reading, and the others go on."""
    # A queryset that joins other tables may have a row several times.
    unique = list({instance.pk: instance for instance in objects}.values())
    relations.read_ahead(unique, source.relations)
    for position, instance in enumerate(unique):
        relations.watch(instance)
        yield _read(source, instance)
        if new := relations.followed(instance) - source.relations:
            source.relations.update(new)
            relations.read_ahead(unique[position + 1 :], new)


def _read(source: ModelSourceSpec, instance: models.Model) -> Reading:
    step, audience = "audience", None
    try:
        audience = _audience(source, instance)
        step = "text"
        text = source.declared.text(instance)
        if text is not None and not isinstance(text, str):
            raise InvalidInput(f"it must return text, not {type(text).__name__}.")
        step = "title"
        title = str(source.declared.title(instance) or "") if hasattr(source.declared, step) else _title(instance)
        step = "metadata"
        metadata = _metadata(source, instance)
        step = "url"
        if link := _url(source, instance):
            metadata.setdefault("url", link)
    except Exception as error:  # the methods may raise anything, and the other objects go on
        if isinstance(error, DatabaseError) and connection.in_atomic_block:
            raise  # the transaction can't go on
        what = str(error) if isinstance(error, InvalidInput) else f"it raised {type(error).__name__}: {error}"
        reason = storable(f"{step}(): {what}"[:1000])
        return Reading(source=source, pk=str(instance.pk), audience=audience, error=reason)
    said = [source.format, VERSION, text or "", title, metadata, sorted(audience)]
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    return Reading(
        source=source, pk=str(instance.pk), text=text or "", title=title, metadata=metadata, audience=audience,
        digest=digest,
    )  # fmt: skip


def _title(instance: models.Model) -> str:
    """Return the object as text, where its class says how; otherwise the document's first heading is its title."""
    return str(instance) if type(instance).__str__ is not models.Model.__str__ else ""


def _metadata(source: ModelSourceSpec, instance: models.Model) -> dict[str, Any]:
    """Return the metadata as JSON: dates, decimals and lazy texts are text."""
    found = source.declared.metadata(instance) if hasattr(source.declared, "metadata") else {}
    if not isinstance(found, dict):
        raise InvalidInput(f"it must return a dict, not {type(found).__name__}.")
    return json.loads(json.dumps(found, cls=DjangoJSONEncoder))


def _audience(source: ModelSourceSpec, instance: models.Model) -> tuple[str, ...]:
    if not hasattr(source.declared, "audience"):
        return ()
    found = source.declared.audience(instance)
    if found is None or isinstance(found, str | dict) or not isinstance(found, Iterable):
        raise InvalidInput("it must return a list of names; an empty one means everyone.")
    return tuple(str(name) for name in found)


def _url(source: ModelSourceSpec, instance: Any) -> str:
    """Return the address of the object; a path is completed by FABRA_SITE_URL."""
    if hasattr(source.declared, "url"):
        found = source.declared.url(instance)
    else:
        found = instance.get_absolute_url() if hasattr(instance, "get_absolute_url") else ""
    link = str(found or "")
    return f"{settings.FABRA_SITE_URL.rstrip('/')}{link}" if link.startswith("/") else link
