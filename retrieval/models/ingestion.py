"""The tables of ingestion: runs, the outcome of each file, and the origin of each document."""

from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, Self

from django.contrib.postgres.expressions import ArraySubquery
from django.db import models, transaction
from django.db.models.functions import JSONObject
from django.utils import timezone

from common.clocks import is_past
from common.locks import Lives
from retrieval.models.documents import Document
from retrieval.models.indexes import Index

_TABLES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson"})
ORPHANED_AFTER = timedelta(seconds=120)
"""An unfinished run whose heartbeat is older than this has lost its workers."""
_WARNED = ~models.Q(warnings=[])


class IngestionRunQuerySet(models.QuerySet["IngestionRun"]):
    def unfinished(self) -> Self:
        return self.filter(state__in=[IngestionRun.State.QUEUED, IngestionRun.State.RUNNING])

    def orphaned(self) -> Self:
        return self.unfinished().filter(is_past("heartbeat_at", since=ORPHANED_AFTER))

    def with_counts(self) -> Self:
        """Annotate each run with its file counts, so that `counts()` needs no query."""
        states = IngestionFile.objects.filter(run=models.OuterRef("pk")).values("state")
        counted = states.annotate(count=models.Count("pk"), warned=models.Count("pk", filter=_WARNED))
        rows = counted.values(row=JSONObject(state="state", count="count", warned="warned"))
        return self.annotate(file_counts=ArraySubquery(rows))


class IngestionRun(models.Model):
    """One pass over a source."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    index = models.ForeignKey(Index, on_delete=models.CASCADE, related_name="+")
    source = models.CharField(max_length=200, help_text="The name of the documents' origin.")
    location = models.TextField(blank=True, help_text="A path or URL; empty for uploaded files.")
    options = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    is_listed = models.BooleanField(default=False, help_text="Whether all files of the source have a row in this run.")
    is_background = models.BooleanField(default=False, help_text="Whether Celery workers process it.")
    total = models.PositiveIntegerField(default=0)
    pruned = models.PositiveIntegerField(default=0)
    reread = models.PositiveIntegerField(
        null=True, blank=True, editable=False,
        help_text="Pages that were read again once all were known; empty: it is not known yet which these are.",
    )  # fmt: skip
    error = models.TextField(blank=True)
    started_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = IngestionRunQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = [
            # Serves the sweep for runs whose worker died, and the look-up of a run to continue.
            models.Index(
                fields=["heartbeat_at"], name="ingestion_unfinished",
                condition=models.Q(state__in=["queued", "running"]),
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"ingestion #{self.pk} of {self.source}"

    @property
    def is_finished(self) -> bool:
        return self.state in (self.State.DONE, self.State.FAILED)

    def counts(self) -> dict[str, int]:
        """Return the number of files in each state, and under `warned` of those with warnings, whatever their state."""
        rows = getattr(self, "file_counts", None)
        if rows is None:
            counted = self.files.values("state")
            rows = counted.annotate(count=models.Count("pk"), warned=models.Count("pk", filter=_WARNED))
        counts = dict.fromkeys([*IngestionFile.State.values, "warned"], 0)
        for row in rows:
            counts[row["state"]] = row["count"]
            counts["warned"] += row["warned"]
        return counts


class IngestionFileQuerySet(models.QuerySet["IngestionFile"]):
    def warned(self) -> Self:
        """Return the files that were not read in full."""
        return self.filter(_WARNED)

    def take(self, run_id: int, holder: int, count: int) -> list["IngestionFile"]:
        """Claim the next files of a run that no living worker holds, for the worker `holder`; return them.

        A holder is the backend id of a connection that holds an advisory lock; without the lock its files are free.
        """
        of_run = self.filter(run_id=run_id).annotate(is_held=Lives("holder", lock_class=LOCK_CLASS))
        free = of_run.filter(
            models.Q(state=IngestionFile.State.WAITING) | models.Q(state=IngestionFile.State.TAKEN, is_held=False)
        )
        with transaction.atomic():
            files = list(free.select_for_update(skip_locked=True).order_by("pk")[:count])
            self.filter(pk__in=[file.pk for file in files]).update(state=IngestionFile.State.TAKEN, holder=holder)
        for file in files:
            file.state, file.holder = IngestionFile.State.TAKEN, holder
        return files


LOCK_CLASS = 20_261
"""The first key of the advisory locks that living workers hold; the second key is the holder."""


class IngestionFile(models.Model):
    """The outcome of a file in a run."""

    class State(models.TextChoices):
        WAITING = "waiting"
        TAKEN = "taken", "being read"
        INDEXED = "indexed"
        UNCHANGED = "unchanged"
        FAILED = "failed"
        PRUNED = "pruned"

    run = models.ForeignKey(IngestionRun, on_delete=models.CASCADE, related_name="files")
    path = models.CharField(max_length=2000)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    holder = models.BigIntegerField(null=True, blank=True, help_text="The worker that is reading it.")
    reason = models.TextField(blank=True)
    warnings = models.JSONField(
        default=list, blank=True, help_text="What could not be read in full: the `code` and `message` of each."
    )
    documents = models.PositiveIntegerField(default=0)
    chunks = models.PositiveIntegerField(default=0)
    embedded = models.PositiveIntegerField(default=0, help_text="The number of chunks that had to be embedded.")
    duration_ms = models.FloatField(null=True, blank=True)
    progress = models.JSONField(
        default=dict, db_default={}, blank=True, editable=False,
        help_text="How far a file is that is read in several slices.",
    )  # fmt: skip
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = IngestionFileQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        constraints = [models.UniqueConstraint(fields=["run", "path"], name="file_once_per_run")]
        indexes = [
            # Serves the workers that claim files, and the counts of a run.
            models.Index(fields=["run", "state", "id"], name="ingestion_file_state")
        ]

    def __str__(self) -> str:
        return self.path


class SourceFile(models.Model):
    """A file of a source: the id that is its own, and how it was last read, to skip it while it is unchanged."""

    index = models.ForeignKey(Index, on_delete=models.CASCADE, related_name="+")
    source = models.CharField(max_length=200)
    path = models.CharField(max_length=2000)
    name = models.CharField(
        max_length=255, blank=True, help_text="The id of its document, or the beginning of those of its rows."
    )
    is_empty = models.BooleanField(default=False, help_text="It had no text when it was last read.")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the content and the reading options.")
    validators = models.JSONField(default=dict, blank=True, help_text="The ETag and Last-Modified headers of a page.")
    warnings = models.JSONField(default=list, blank=True, help_text="The warnings of the last reading.")
    ends = models.JSONField(
        default=dict, db_default={}, blank=True, editable=False,
        help_text="Of a page: digests of its first and last blocks, and how many of these are left out.",
    )  # fmt: skip
    run = models.ForeignKey(IngestionRun, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["index", "source", "path"], name="source_file_once")]
        indexes = [
            # Serves the look-up of the file that an id belongs to.
            models.Index(fields=["index", "name"], name="source_file_name")
        ]

    def __str__(self) -> str:
        return f"{self.source}: {self.path}"


def is_table(path: str) -> bool:
    """Return whether a file's documents are its rows: their ids begin with the file's, so they do not equal it."""
    return PurePosixPath(path).suffix.lower() in _TABLES


class SourceDocumentQuerySet(models.QuerySet["SourceDocument"]):
    def as_served(self) -> Self:
        """Return those whose document is served as the source had it, not changed or deleted by other means."""
        return self.filter(document__deleted_at=None, document__version__content_hash=models.F("content_hash"))


class SourceDocument(models.Model):
    """The file that a document belongs to; no other file may write it."""

    document = models.OneToOneField(Document, on_delete=models.CASCADE, related_name="origin")
    file = models.ForeignKey(SourceFile, on_delete=models.CASCADE, related_name="documents")
    content_hash = models.CharField(max_length=64, help_text="The content hash of the version made from the file.")
    run = models.ForeignKey(IngestionRun, on_delete=models.SET_NULL, null=True, related_name="+")

    objects = SourceDocumentQuerySet.as_manager()

    def __str__(self) -> str:
        return str(self.file)


class IngestionUpload(models.Model):
    """An uploaded file, stored where every worker can read it; deleted when its run is finished."""

    run = models.ForeignKey(IngestionRun, on_delete=models.CASCADE, related_name="uploads")
    name = models.CharField(max_length=255)
    content: Any = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "name"], name="upload_once_per_run")]

    def __str__(self) -> str:
        return self.name
