"""How long versions of documents, deleted documents, and runs of ingestion and evaluation are kept."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from common.definitions import add_once
from common.retention import Bounded, Retained
from retrieval.models import (
    CalibrationRun,
    Chunk,
    Document,
    DocumentVersion,
    EvaluationOutcome,
    EvaluationRun,
    Generation,
    GoldenQuestion,
    Index,
    IngestionFile,
    IngestionRun,
    IngestionUpload,
    LexemeCount,
    ModelSource,
    RetrieverDefinition,
    SourcedObject,
    SourceDocument,
    SourceFile,
)

Keeper = Callable[[QuerySet[Any]], QuerySet[Any]]

_keepers: list[Keeper] = []


def keep_versions(keeper: Keeper) -> None:
    """Register a function that leaves out of versions those that must stay; apps above know what refers to them."""
    add_once(_keepers, keeper)


def _unused(versions: QuerySet[Any], now: datetime) -> QuerySet[Any]:
    """Return the versions that a later one followed, or whose document was deleted, as long ago; nothing uses them."""
    since = now - settings.FABRA_VERSION_RETENTION
    later = DocumentVersion.objects.filter(document=OuterRef("document"), number__gt=OuterRef("number"))
    deleted = Document.objects.filter(pk=OuterRef("document"), deleted_at__lt=since)
    served = Document.objects.filter(version=OuterRef("pk"), deleted_at__isnull=True)
    chunks = Chunk.objects.filter(version=OuterRef("pk"))
    is_over = Q(Exists(later.filter(created_at__lt=since))) | Q(Exists(deleted))
    versions = versions.filter(is_over, ~Exists(served), ~Exists(chunks))
    for keeper in _keepers:
        versions = keeper(versions)
    return versions


def _empty(documents: QuerySet[Any], now: datetime) -> QuerySet[Any]:
    return documents.filter(~Exists(DocumentVersion.objects.filter(document=OuterRef("pk"))))


def _unreferred(runs: QuerySet[Any], now: datetime) -> QuerySet[Any]:
    """Leave out the runs in which a file, or a row of it, was last read: they tell what a source has withdrawn."""
    files, documents = (model.objects.filter(run=OuterRef("pk")) for model in (SourceFile, SourceDocument))
    return runs.filter(~Exists(files), ~Exists(documents))


def _followed(runs: QuerySet[Any], now: datetime) -> QuerySet[Any]:
    """Leave out the newest evaluation of its kind that was completed, and those that still run."""
    ended = EvaluationRun.objects.filter(state=EvaluationRun.State.DONE, pk__gt=OuterRef("pk"))
    later = ended.filter(index=OuterRef("index"), mode=OuterRef("mode"), tag=OuterRef("tag"))
    is_over = Q(Exists(later)) | Q(state=EvaluationRun.State.FAILED)
    return runs.filter(is_over, state__in=[EvaluationRun.State.DONE, EvaluationRun.State.FAILED])


def _unused_calibrations(runs: QuerySet[Any], now: datetime) -> QuerySet[Any]:
    """Leave out the newest calibration of an index, and the one whose threshold it uses."""
    later = CalibrationRun.objects.filter(index=OuterRef("index"), pk__gt=OuterRef("pk"))
    return runs.filter(Exists(later)).exclude(pk__in=Index.objects.exclude(threshold_run=None).values("threshold_run"))


VERSIONS = Retained(
    name="document versions", model=DocumentVersion, setting="FABRA_VERSION_RETENTION", time="created_at",
    is_indexed=True, removable=_unused,
)  # fmt: skip
DELETED = Retained(
    name="documents, once deleted", model=Document, which=Q(deleted_at__isnull=False),
    setting="FABRA_VERSION_RETENTION", time="deleted_at", created="created_at", is_indexed=True,
    removable=_empty,
)  # fmt: skip
"""Those of which no version is kept."""
FILES = Retained(
    name="files of ingestion runs", model=IngestionFile, setting="FABRA_RUN_RETENTION", time="run__finished_at",
    created="run__created_at", grows_with_key=True,
)  # fmt: skip
"""A run may have thousands: they go before it, and also where it stays because something refers to it."""
INGESTION = Retained(
    name="ingestion runs", model=IngestionRun, setting="FABRA_RUN_RETENTION", time="finished_at", batch=50,
    created="created_at", removable=_unreferred, with_it=(IngestionUpload,),
)  # fmt: skip
EVALUATIONS = Retained(
    name="evaluation runs", model=EvaluationRun, setting="FABRA_EVALUATION_RETENTION", time="created_at", batch=10,
    grows_with_key=True, removable=_followed, with_it=(EvaluationOutcome,),
)  # fmt: skip
"""The newest of each index, mode and tag stays."""
CALIBRATIONS = Retained(
    name="calibrations", model=CalibrationRun, setting="FABRA_EVALUATION_RETENTION", time="created_at", batch=50,
    grows_with_key=True, removable=_unused_calibrations,
)  # fmt: skip
"""The newest of each index stays, and the one whose threshold is used."""

KINDS = (VERSIONS, DELETED, FILES, INGESTION, EVALUATIONS, CALIBRATIONS)
STAYS = (
    Bounded(name="documents", models=(Document,), which=Q(deleted_at=None), created="created_at",
            reason="until they are deleted"),
    # A changed document replaces its chunks, so what they grow by are those of new documents.
    Bounded(name="chunks, with vectors and HNSW", models=(Chunk,), created="document__created_at",
            reason="as long as their document is served"),
    Bounded(name="counts of lexemes", models=(LexemeCount,), reason="of the chunks there are; merged every minute"),
    Bounded(name="files of sources, and what is from them", models=(SourceFile, SourceDocument),
            reason="until an import with --prune finds them gone"),
    Bounded(name="objects of your models", models=(SourcedObject, ModelSource), reason="as long as the objects exist"),
    Bounded(name="indexes and generations", models=(Index, Generation),
            reason="until an operator drops them; chunks of a dropped generation go with it"),
    Bounded(name="golden questions", models=(GoldenQuestion,), reason="written by editors"),
    Bounded(name="declared retrievers", models=(RetrieverDefinition,), reason="one row for each retriever in code"),
)  # fmt: skip
