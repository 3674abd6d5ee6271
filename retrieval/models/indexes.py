"""Indexes and their generations."""

from django.db import models


class Index(models.Model):
    """A named collection of documents; `version` moves with every commit that changes what a search finds."""

    name = models.CharField(max_length=200, unique=True)
    language = models.CharField(
        max_length=40, default="english", help_text="The text-search configuration of the lexical leg."
    )
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
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "indexes"

    def __str__(self) -> str:
        return self.name


class Generation(models.Model):
    """One embedding of an index: a model, its dimension, and the chunks made for it."""

    index = models.ForeignKey(Index, on_delete=models.CASCADE, related_name="generations")
    embedding_model = models.CharField(max_length=200)
    dimension = models.PositiveIntegerField()
    has_hnsw = models.BooleanField("HNSW built", default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.index} #{self.pk} ({self.embedding_model})"
