"""The tables of indexes and their generations."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F
from django.utils import timezone

from retrieval.models.calibration import CalibrationRun


class IndexQuerySet(models.QuerySet["Index"]):
    def named(self, name: str) -> "Index | None":
        """Return an index with the generation that serves its searches, if there is one."""
        return self.select_related("generation").defer("generation__comparison").filter(name=name).first()


class Index(models.Model):
    """A named collection of documents; `version` increases with every commit that changes what a search finds."""

    class Mode(models.TextChoices):
        HYBRID = "hybrid"
        SEMANTIC = "semantic"
        LEXICAL = "lexical"

    class Fusion(models.TextChoices):
        WEIGHTED = "weighted", "weighted sum of both scores"
        RRF = "rrf", "reciprocal ranks"

    name = models.CharField(max_length=200, unique=True)
    language = models.CharField(
        max_length=40, default="english", help_text="The PostgreSQL text search configuration for lexical search."
    )
    mode = models.CharField(max_length=10, choices=Mode, default=Mode.HYBRID, help_text="Which searches are combined.")
    fusion = models.CharField(max_length=10, choices=Fusion, default=Fusion.WEIGHTED)
    lexical_weight = models.FloatField(
        default=0.75, help_text="The weight of a perfect lexical match, relative to a cosine similarity of 1."
    )
    rerank = models.BooleanField(default=False, help_text="Rerank the best hits with the reranker of the settings.")
    version = models.BigIntegerField(default=0)
    chunk_count = models.BigIntegerField(default=0)
    generation = models.ForeignKey(
        "retrieval.Generation",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The generation that serves searches.",
    )
    threshold = models.FloatField(
        null=True, blank=True, help_text="A search whose best score is below it found no answer; empty: not known."
    )
    threshold_basis = models.JSONField(
        default=dict, blank=True, editable=False, help_text="What the scores depended on when it was set."
    )
    threshold_run = models.ForeignKey(
        "retrieval.CalibrationRun", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    threshold_set_by = models.CharField(max_length=200, blank=True, editable=False)
    threshold_set_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = IndexQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "indexes"

    def __str__(self) -> str:
        return self.name

    def score_basis(
        self, mode: str | None = None, fusion: str | None = None, lexical_weight: float | None = None
    ) -> dict[str, Any]:
        """Return what the scores of a search depend on; scores of another basis can't be compared with them."""
        mode = mode or self.mode
        basis: dict[str, Any] = {"mode": mode}
        if mode != self.Mode.LEXICAL and self.generation is not None:
            basis["embedder"] = self.generation.embedder or settings.FABRA_EMBEDDER
            basis["embedding_model"] = self.generation.embedding_model
            basis["dimension"] = self.generation.dimension
        if mode == self.Mode.HYBRID:
            basis["fusion"] = fusion or self.fusion
            basis["lexical_weight"] = self.lexical_weight if lexical_weight is None else lexical_weight
        return basis

    def stale_threshold(self) -> list[str]:
        """Return what has changed since the threshold was set; such a threshold is not applied."""
        if self.threshold is None:
            return []
        now = self.score_basis()
        return [
            f"{name.replace('_', ' ')} {self.threshold_basis.get(name, 'none')}, now {now.get(name, 'none')}"
            for name in {**self.threshold_basis, **now}
            if self.threshold_basis.get(name) != now.get(name)
        ]

    def set_threshold(
        self, threshold: float | None, basis: dict[str, Any], *, by: str, run: CalibrationRun | None = None
    ) -> None:
        """Set or clear the threshold for scores of this basis.

        The version increases, since cached results of retrievers tell what was found by the old threshold.
        """
        Index.objects.filter(pk=self.pk).update(
            threshold=threshold,
            threshold_basis=basis if threshold is not None else {},
            threshold_run=run,
            threshold_set_by=by[:200],
            threshold_set_at=timezone.now(),
            version=F("version") + 1,
        )


class Generation(models.Model):
    """One embedding of an index: a model, its dimension, and the chunks embedded with it.

    The index names the generation that serves searches; the others are kept up to date.
    """

    class State(models.TextChoices):
        BUILDING = "building", "being built"
        READY = "ready"
        DROPPING = "dropping", "being dropped"

    index = models.ForeignKey(Index, on_delete=models.CASCADE, related_name="generations")
    embedder = models.CharField(
        max_length=200, blank=True, help_text="The class that runs the model; empty for that of the settings."
    )
    embedding_model = models.CharField(max_length=200)
    dimension = models.PositiveIntegerField()
    max_tokens = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="The maximum chunk length in the model's tokens; empty for the model's own limit.",
    )
    state = models.CharField(max_length=10, choices=State, default=State.READY, editable=False)
    total = models.PositiveIntegerField(default=0, editable=False, help_text="The number of documents to index.")
    done = models.PositiveIntegerField(default=0, editable=False)
    error = models.TextField(blank=True, editable=False, help_text="Why the build waits.")
    comparison = models.JSONField(
        default=dict, blank=True, editable=False, help_text="The comparison with the generation that was serving."
    )
    has_hnsw = models.BooleanField(
        "index built",
        default=False,
        help_text="Its HNSW and GIN indexes exist; below 2,000 chunks exact search does not need them.",
    )
    is_rebuild_wanted = models.BooleanField(
        default=False, db_default=False, editable=False, help_text="Its indexes are to be replaced, and are not yet."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    worked_at = models.DateTimeField(null=True, editable=False, help_text="When a worker last made progress.")
    ready_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return f"{self.index} #{self.pk} ({self.embedding_model})"
