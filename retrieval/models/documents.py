"""The tables of documents and their versions."""

from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from common.clocks import AHEAD, latest_possible
from common.sql.words import words_index
from events.arrival import time_after
from events.handlers import current_handling
from events.models import Event
from events.ordering import state_key


class DocumentQuerySet(models.QuerySet["Document"]):
    def live(self) -> "DocumentQuerySet":
        return self.filter(deleted_at=None)

    def purged(self) -> "DocumentQuerySet":
        """Return the documents of which an earlier state was erased, or is being erased."""
        return self.filter(purged_at__isnull=False)

    def correct_purges(self) -> int:
        """Have the purges that a clock ahead has dated to the future take place a minute ago; return how many.

        What happens from now on is not erased then, and what arrives late is.
        """
        now = timezone.now()
        return self.purged().filter(purged_at__gt=latest_possible(now)).update(purged_at=now - AHEAD)


class Document(models.Model):
    """A document of an index: `text` is its newest content, `version` is what searches find."""

    class State(models.TextChoices):
        PENDING = "pending", "waiting to be indexed"
        INDEXED = "indexed"
        FAILED = "failed"
        DELETED = "deleted"

    index = models.ForeignKey("retrieval.Index", on_delete=models.CASCADE, related_name="documents")
    entity_id = models.CharField("document id", max_length=255)
    title = models.CharField(max_length=500, blank=True, help_text="If empty, the first heading, or else the id.")
    text = models.TextField()
    metadata = models.JSONField(default=dict, blank=True)
    # `check_audience` bounds the names of an audience: another bound of the column would write the whole table anew.
    audience = ArrayField(
        models.CharField(),
        default=list,
        blank=True,
        help_text="The audiences that may find it, separated by commas; empty for everyone.",
    )
    state = models.CharField(max_length=10, choices=State, default=State.PENDING, editable=False)
    error = models.TextField(blank=True, editable=False)
    failures = models.PositiveSmallIntegerField(
        default=0, editable=False, help_text="The number of consecutive failures."
    )
    retry_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When indexing is retried; empty if it is not retried before the next change.",
    )
    failed_event = models.ForeignKey(
        "events.Event",
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
        help_text="The newest change that could not be indexed; a retry replays the whole event.",
    )
    version = models.ForeignKey(
        "retrieval.DocumentVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    occurred_at = models.DateTimeField(null=True, editable=False, help_text="The time of its current state.")
    after_event = models.BigIntegerField(
        null=True, editable=False, help_text="The newest event when it came to its current state."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    indexed_at = models.DateTimeField(null=True, blank=True, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    purged_at = models.DateTimeField(
        null=True, editable=False, help_text="All that it said until then was erased, or is being erased."
    )
    purged_version = models.PositiveIntegerField(
        default=0, editable=False, help_text="The texts of its versions up to this one were erased."
    )
    purge_ended_at = models.DateTimeField(null=True, editable=False, help_text="When nothing of it was left.")

    objects = DocumentQuerySet.as_manager()

    saved_by = ""
    """The author of the version that the next save creates; not a column."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["index", "entity_id"], name="document_once_per_index")]
        indexes = [
            # Serves the lists of the admin and the API, newest first.
            models.Index(fields=["-updated_at"], name="document_newest"),
            # Serves the admin's search.
            words_index("title", "document_by_words"),
            # Serves the changes of an index since a time, page by page.
            models.Index(fields=["index", "updated_at", "id"], name="document_changes"),
            # Serves the sweep; contains only failed documents.
            models.Index(
                fields=["retry_at"], name="document_to_retry", condition=models.Q(state="failed", deleted_at=None)
            ),
            # Serves the sweep and the verification; contains only purged documents.
            models.Index(
                fields=["index", "purged_at"], name="document_purged", condition=models.Q(purged_at__isnull=False)
            ),
            # Serves the pruning of deleted documents; contains no others.
            models.Index(fields=["deleted_at"], name="document_deleted", condition=models.Q(deleted_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.title or self.entity_id

    def correct_time(self, read_at: datetime | None = None) -> None:
        """Put a state that a clock ahead has dated to the future where it arrived among the document's events.

        `read_at` is the time of a change that is about to be made and is no event: it was read after that state.
        """
        if self.occurred_at is None or self.occurred_at <= latest_possible():
            return
        key = state_key("doc_updated", self.entity_id, {"index": self.index.name})  # that of any event about it
        moment = time_after(self.after_event, key)
        if read_at is not None and current_handling() is None:
            moment = min(moment, read_at)
        Document.objects.filter(pk=self.pk, occurred_at=self.occurred_at).update(occurred_at=moment)
        self.occurred_at = moment

    def has_failure_after(self, occurred_at: datetime | None) -> bool:
        """Return whether a change after `occurred_at` failed; its retry is kept when an earlier change is indexed."""
        failed = Event.objects.filter(pk=self.failed_event_id) if self.failed_event_id and occurred_at else None
        return failed is not None and failed.filter(occurred_at__gt=occurred_at).exists()


class DocumentVersion(models.Model):
    """The content of a document at one time; never changed, but for a purge, which empties it."""

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=500)
    text = models.TextField()
    metadata = models.JSONField(default=dict)
    audience = ArrayField(models.CharField(), default=list, blank=True)
    content_hash = models.CharField(max_length=64, help_text="SHA-256 of title, text, metadata and audience.")
    source = models.CharField(max_length=100, help_text="The kind of its origin: an event, the API, a command or code.")
    author = models.CharField(
        max_length=200, blank=True, help_text="Who made the change: a user, an API key or a webhook."
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("-id",)
        constraints = [models.UniqueConstraint(fields=["document", "number"], name="version_once_per_document")]
        indexes = [
            # Serve the admin's search, and its filter.
            words_index("title", "version_by_words"),
            models.Index(fields=["-created_at"], name="version_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.title} v{self.number}"
