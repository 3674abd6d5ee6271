"""How long versions of documents, deleted documents, and runs of ingestion are kept."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from common.retention import Retained
from retrieval.models import Chunk, Document, DocumentVersion, IngestionFile, IngestionRun

Keeper = Callable[[QuerySet[Any]], QuerySet[Any]]

_keepers: list[Keeper] = []


def keep_versions(keeper: Keeper) -> None:
    """Register a function that leaves out of versions those that must stay; apps above know what refers to them."""
    _keepers.append(keeper)


def _unused(versions: QuerySet[Any]) -> QuerySet[Any]:
    """Return the versions that a later one followed, or whose document was deleted as long ago, that nothing uses."""
    later = DocumentVersion.objects.filter(document=OuterRef("document"), number__gt=OuterRef("number"))
    is_deleted = Q(document__deleted_at__lt=timezone.now() - settings.FABRA_VERSION_RETENTION)
    served = Document.objects.filter(version=OuterRef("pk"), deleted_at__isnull=True)
    chunks = Chunk.objects.filter(version=OuterRef("pk"))
    versions = versions.filter(Q(Exists(later)) | is_deleted, ~Exists(served), ~Exists(chunks))
    for keeper in _keepers:
        versions = keeper(versions)
    return versions


def _empty(documents: QuerySet[Any]) -> QuerySet[Any]:
    return documents.filter(~Exists(DocumentVersion.objects.filter(document=OuterRef("pk"))))


VERSIONS = Retained(
    name="document versions", model=DocumentVersion, setting="FABRA_VERSION_RETENTION", time="created_at",
    is_indexed=True, removable=_unused,
)  # fmt: skip
DELETED = Retained(
    name="documents, once deleted",
    model=Document,
    setting="FABRA_VERSION_RETENTION",
    time="deleted_at",
    removable=_empty,
)
"""Those of which no version is kept."""
INGESTION = Retained(
    name="ingestion runs",
    model=IngestionRun,
    setting="FABRA_RUN_RETENTION",
    time="finished_at",
    with_it=(IngestionFile,),
)
