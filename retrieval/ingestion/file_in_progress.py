"""A file that a worker is reading, and how far it came: another slice, or another worker, goes on behind that."""

import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from common.text import storable
from retrieval.models import IngestionFile, IngestionRun, SourceDocument, SourceFile
from retrieval.readers import ReadWarning


@dataclass
class FileProgress:
    """What is stored of a file whose documents are not all indexed, with the counts of its row."""

    fingerprint: str = ""
    """The fingerprint of the content that was read. Another content is read from its beginning."""
    done: int = 0
    """Documents that are indexed or have failed: as many as the reader gives first, since batches keep their order."""
    changed: int = 0
    is_superseded: bool = False
    errors: int = 0
    first_error: str = ""
    withdrawn: int = 0
    """Documents that could not be indexed, and were open to others than may read them now."""

    def fail(self, error: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or storable(error[:1000])


@dataclass
class FileInProgress:
    """A file that is being processed."""

    row: IngestionFile
    known: SourceFile
    validators: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)
    read_at: datetime = field(default_factory=timezone.now)
    """When the source had this content; a later change of the document is not overwritten."""
    waiting: int = 0
    """Documents of the file that were read and are not indexed yet."""
    is_read: bool = False
    unreadable: str = ""
    """Why the rest of it, or all of it, could not be read."""
    is_empty: bool = False
    """It was read and has no document."""
    ids: set[str] = field(default_factory=set)
    """The ids of the documents that were read so far, with those of earlier slices."""
    warnings: list[dict[str, str]] = field(default_factory=list)
    hides_rows: bool = False
    """Rows of it may be within others, so those that are missing are not pruned, and the next run reads it again."""
    ends: dict[str, Any] = field(default_factory=dict)
    """How a page begins and ends."""

    def __post_init__(self) -> None:
        self.progress = FileProgress(**self.row.progress)
        self._earlier_ms = self.row.duration_ms or 0.0

    def warn(self, warning: ReadWarning) -> None:
        self.warnings.append(warning.to_dict())
        self.hides_rows |= warning.hides_rows

    def begin(self, fingerprint: str, run: IngestionRun) -> None:
        """Go on with this content, or begin with it: what was done of another one is done again."""
        if self.progress.done and self.progress.fingerprint != fingerprint:
            # What the former content gave and this one does not has no place in the source any more.
            SourceDocument.objects.filter(file=self.known, run=run).update(run=None)
            self.row.documents = self.row.chunks = self.row.embedded = 0
            self.progress = FileProgress()
        self.progress.fingerprint = fingerprint

    def keep(self) -> None:
        """Store how far it is; the caller has a transaction with what was done.

        Until all of it is read the file is not known to be as it was: the next run must not skip it.
        """
        self.row.progress = asdict(self.progress)
        self.row.duration_ms = self.duration_ms
        self.row.save(update_fields=["documents", "chunks", "embedded", "duration_ms", "progress"])
        SourceFile.objects.filter(pk=self.known.pk).exclude(fingerprint="").update(fingerprint="")

    @property
    def duration_ms(self) -> float:
        return self._earlier_ms + (time.perf_counter() - self.started) * 1000
