"""The table of chunks: the passages that searches find."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import F, Func
from pgvector.django import SparseVectorField, VectorField


class Chunk(models.Model):
    """A passage of a document's current version, embedded for one generation.

    `embedding` has no fixed dimension, so that generations of different models share the table; each
    generation has a partial HNSW and a partial GIN of its own (see retrieval.generations.hnsw). `length` and `weights`
    are computed by the database (see the migration of functions), which also counts lexemes when chunks change.
    """

    generation = models.ForeignKey("retrieval.Generation", on_delete=models.CASCADE, related_name="chunks")
    document = models.ForeignKey("retrieval.Document", on_delete=models.CASCADE, related_name="chunks")
    version = models.ForeignKey("retrieval.DocumentVersion", on_delete=models.CASCADE, related_name="chunks")
    position = models.PositiveIntegerField()
    heading_path = models.CharField(max_length=1000, blank=True)
    text = models.TextField()
    token_count = models.PositiveIntegerField(help_text="In tokens of the embedder, including the heading path.")
    content_hash = models.CharField(max_length=64, help_text="SHA-256 of the embedded text.")
    metadata = models.JSONField(default=dict)
    audience = ArrayField(models.CharField(), default=list, blank=True)
    embedding = VectorField()
    lexemes = SearchVectorField()
    length = models.GeneratedField(
        expression=Func(F("lexemes"), function="fabra_length"), output_field=models.IntegerField(), db_persist=True
    )
    weights = models.GeneratedField(
        expression=Func(F("lexemes"), function="fabra_weights"), output_field=SparseVectorField(), db_persist=True
    )

    class Meta:
        indexes = [
            # Serves the exact scan and the planner's count of a generation.
            models.Index(fields=["generation", "document"], name="chunk_by_generation"),
            # Serves filters on metadata.
            GinIndex(fields=["metadata"], name="chunk_metadata", opclasses=["jsonb_path_ops"]),
        ]

    def __str__(self) -> str:
        return f"{self.document_id}#{self.position}"
